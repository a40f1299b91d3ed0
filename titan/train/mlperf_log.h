// mlperf_log.h: which MLPerf lines a training run writes, and when (flux1; the compliance rules are
// restated in tests/metrics/mllog_rules.h). No torch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/metrics/mllog.h"
#include "titan/metrics/sink.h"

namespace titan {

/// What the log says of the run beside its config.
struct MlperfFacts {
  int64_t init_began_ms = 0;  ///< mllog_time_ms() when set-up began
  int64_t train_samples = 0;
  int64_t eval_samples = 0;
  std::uint64_t seed = 0;
  int64_t global_batch = 0;
  int64_t micro_batch = 0;
  int64_t accumulation = 1;
  int64_t samples_between_evals = 0;  ///< a multiple of the global batch; 0 = no evaluation
  int64_t cursor = 0;                 ///< samples trained before this process (resume)
  bool show = true;                   ///< on the screen, too
};

/// Blocks are the samples between two evaluations. Where logging is off, or on ranks other than 0,
/// every call does nothing. A run that is left without run_stop() (an error) is logged as aborted.
class MlperfLog {
 public:
  /// Writes to `path`. A fresh run begins the file anew; a resumed one goes on behind what was
  /// logged up to its cursor.
  static StatusOr<std::unique_ptr<MlperfLog>> open(const JobConfig& config, bool is_main,
                                                   const std::string& path,
                                                   const MlperfFacts& facts);
  ~MlperfLog();
  MlperfLog(const MlperfLog&) = delete;
  MlperfLog& operator=(const MlperfLog&) = delete;

  /// Set-up is done, the clock starts: right before the first training sample is read.
  void run_start();
  /// Before each step; `samples` trained so far. Opens a block where none is open.
  void before_step(int64_t samples);
  /// Throughput, loss and learning rate of a metrics record.
  void record(const metrics::TrainRecord& record);
  /// Around an evaluation after `samples`; ends the block. `loss` is the validation loss.
  void eval_start(int64_t samples);
  void eval_stop(int64_t samples, double loss);
  /// The end: `success` iff the last evaluation met the target.
  void run_stop(bool success, int64_t samples);

 private:
  explicit MlperfLog(std::unique_ptr<metrics::MllogWriter> writer) : writer_(std::move(writer)) {}
  void write_submission(const JobConfig& config);
  void write_setup(const JobConfig& config, const MlperfFacts& facts);
  void write_optimizer(const JobConfig& config);
  void close_block(int64_t samples);

  std::unique_ptr<metrics::MllogWriter> writer_;  ///< null = every call does nothing
  bool resumed_ = false;                          ///< the file has its run_start already
  bool running_ = false;
  bool block_open_ = false;
  int64_t samples_ = 0;  ///< as of the last call
};

}  // namespace titan
