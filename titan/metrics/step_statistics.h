// step_statistics.h: what every tensor of one training step looked like on one rank, as a file; and
// where two such steps part. No torch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::metrics {

/// One tensor at one place of the step.
struct TensorStatistics {
  std::string phase;        ///< "weights", "input", "forward", "loss", "backward", "update"
  int64_t micro_batch = 0;  ///< within the step; -1 where it belongs to the whole step
  std::string unit;         ///< "embed", "block.3", "head"
  std::string tensor;       ///< "x", "gradient of x", a parameter's name
  std::string dtype;
  std::vector<int64_t> shape;
  std::string hash;  ///< XXH3-128 of its bytes: equal means equal to the bit
  /// Of the finite elements; 0 where there are none.
  double mean = 0;
  double std = 0;
  double min = 0;
  double max = 0;
  int64_t nonfinite = 0;

  /// "forward of block.3: x (micro-batch 0)"
  std::string place() const;
};

struct StepStatistics {
  int64_t step = 0;
  int64_t from_step = 0;  ///< of the checkpoint from which the step was run again; 0 = the seed
  int rank = 0;
  int world_size = 1;
  std::optional<int64_t> sample;  ///< only this sample's rows were looked at
  std::string revision;           ///< of the program
  std::string libtorch;
  std::string device;
  std::string run;                        ///< folder
  std::vector<int64_t> samples;           ///< of this rank in the step, in order
  std::vector<TensorStatistics> tensors;  ///< in the order in which they were computed
};

/// "rank-00000.jsonl"
std::string statistics_file_name(int rank);

/// JSON lines: one for the step, one for each tensor.
Status write_statistics(const std::string& path, const StepStatistics& statistics);
/// kDataLoss names the line that cannot be read.
StatusOr<StepStatistics> read_statistics(const std::string& path);

/// Where two runs of a step part.
struct StatisticsDifference {
  int64_t compared = 0;
  int64_t unequal = 0;
  /// Index into both lists of the first tensor that is not the same to the bit.
  std::optional<std::size_t> first;
};

/// kInvalidArgument where the two are not of the same step, sample, rank and number of ranks.
Status check_same_step(const StepStatistics& a, const StepStatistics& b);

/// kInvalidArgument where the two are not the same step, sample, rank or model: the tensors must be
/// the same ones in the same order.
StatusOr<StatisticsDifference> compare_statistics(const StepStatistics& a, const StepStatistics& b);

/// What a person wants to read: the first place that differs with both sides' figures, then one
/// line for each further unit of the step, up to `max_lines`.
std::string difference_text(const StepStatistics& a, const StepStatistics& b,
                            const StatisticsDifference& difference, int max_lines = 20);

}  // namespace titan::metrics
