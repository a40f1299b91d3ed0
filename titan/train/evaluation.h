// evaluation.h: the loss on a fixed set of samples, at fixed timesteps and with fixed noise.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/data/dataset.h"
#include "titan/protocols/block_runner.h"
#include "titan/protocols/model_spec.h"
#include "titan/protocols/objective.h"

namespace titan {

namespace parallel {
class Communicator;
class DeviceGraph;
}  // namespace parallel
class RunEncoder;

struct EvaluationResult {
  /// Mean over the timesteps of the mean over their samples: NaN where a sample's loss is not
  /// finite. The benchmark's mean over all samples where timesteps have equally many.
  double loss = 0;
  std::vector<double> timestep_loss;    ///< [kEvalTimesteps]; NaN where no sample has the timestep
  std::vector<int64_t> timestep_count;  ///< [kEvalTimesteps]
  int64_t samples = 0;
  double seconds = 0;
};

/// Means in a fixed order, in double: `loss` and `timestep` (0 .. kEvalTimesteps - 1) by sample.
EvaluationResult summarize_losses(const std::vector<double>& loss,
                                  const std::vector<int64_t>& timestep);

struct EvaluatorOptions {
  int64_t batch_size = 16;
  int64_t num_samples = 0;  ///< the first n; 0 = all
  std::uint64_t seed = 0;
  int64_t num_workers = 2;
  c10::Device device = at::kCPU;
  const RunEncoder* encoder = nullptr;  ///< null where samples come encoded; outlives the evaluator
  /// Of an evaluation; gives null, or is empty, where its batches are launched kernel by kernel.
  std::function<std::unique_ptr<parallel::DeviceGraph>()> make_graph = {};
};

/// Each sample's timestep comes from its field "timestep", or is its index mod kEvalTimesteps; its
/// noise depends on (seed, index) alone. Batches are cut the same for any number of ranks, each
/// sample's loss is gathered and they are summed in one order: the result is the same for any
/// number of ranks to the bit, and for any batch size to the rounding of the model's arithmetic.
class Evaluator {
 public:
  Evaluator(std::shared_ptr<const Dataset> dataset, EvaluatorOptions options);

  /// All ranks of `ranks` call (small messages on the CPU). The model is in evaluation mode.
  /// `progress`, if given, is told samples done and all. `stop`, if given, is asked before each
  /// batch, on all ranks together, and must answer the same on all: true ends with kCancelled.
  /// Errors, on the rank that meets them: a sample that cannot be read, a timestep outside 0 ..
  /// kEvalTimesteps - 1 (sample named).
  StatusOr<EvaluationResult> run(
      BlockRunner& runner, const Objective& objective, parallel::Communicator& ranks,
      const std::function<void(int64_t done, int64_t all)>& progress = {},
      const std::function<bool()>& stop = {}) const;

  int64_t num_samples() const;
  const std::shared_ptr<const Dataset>& dataset() const { return dataset_; }

 private:
  std::shared_ptr<const Dataset> dataset_;
  EvaluatorOptions options_;
};

/// The data set that [eval] names: opened as the training set is, but with centre crops and no
/// flips; its samples must have the shape of the training set's. Null where there is none.
StatusOr<std::shared_ptr<const Dataset>> open_evaluation_data(const JobConfig& config,
                                                              const ModelSpec& spec,
                                                              const DataShape& train_shape);

/// Optimizer steps between evaluations: eval_freq samples rounded up.
int64_t steps_between_evaluations(int64_t eval_freq, int64_t global_batch);

}  // namespace titan
