// published.h: step times that others have published, and what a small model says about them. No
// torch.
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::plan {

/// One system of docs/results/mlperf_flux_rows.tsv.
struct PublishedRow {
  std::string round, submitter;
  int64_t devices = 0;
  std::string hardware;  ///< a row of hardware.h
  int64_t global_batch = 0;
  int64_t micro_batch = 0;  ///< per group of `tensor` devices
  int64_t tensor = 1;       ///< tensor-parallel degree
  std::string precision;    ///< "mxfp8", "fp8", "bf16"
  double step_s = 0;
  bool calibrates = false;
};

/// Reads the table: tab-separated, one header line, lines of '#' are comments.
StatusOr<std::vector<PublishedRow>> read_published(const std::string& path);

/// Three numbers fitted to the three rows that calibrate; see docs/results/planner.md.
struct PublishedModel {
  double efficiency = 0;    ///< of the bf16 peak that an 8-bit job reached in round v5.1
  double fixed_s = 0;       ///< of a step, whatever its batch
  double later_rounds = 1;  ///< step time of a v6.0 job as a share of v5.1's, NVIDIA's code
};

/// Needs exactly one calibrating row of each kind: v5.1 in 8 bits, v5.1 with tensor parallelism,
/// and v6.0.
StatusOr<PublishedModel> calibrate(const std::vector<PublishedRow>& rows);

/// Seconds of a step.
double predict(const PublishedModel& model, const PublishedRow& row);

/// The table with predictions and errors, as text.
std::string published_report(const std::vector<PublishedRow>& rows, const PublishedModel& model);

}  // namespace titan::plan
