// metrics_processor.h: turns what each step reports into records, without making the host wait for
// the device between records.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "titan/metrics/sink.h"

namespace titan::metrics {

/// What one optimizer step reports. The tensors are 0-d, floating, on any device, and may be
/// written again by the next step (a replayed graph does so).
struct StepReport {
  int64_t step = 0;      ///< 1 for the first step of a job
  int64_t samples = 0;   ///< of this step, over all ranks
  at::Tensor loss = {};  ///< mean over the step's samples: this rank's, or reduced already (then
                         ///< without `reduce`)
  at::Tensor loss_max = {};   ///< optional: largest over ranks; else `loss` is taken
  at::Tensor grad_norm = {};  ///< optional: global norm before clipping
  double lr = 0;
  double data_wait_s = 0;  ///< time the step waited for its data
};

struct MetricsOptions {
  int64_t log_freq = 10;
  int64_t total_steps = 0;
  int64_t samples_before = 0;  ///< trained before this process started (resume)
  int world_size = 1;
  double flops_per_sample = 0;     ///< forward and backward, recompute not counted; 0 = unknown
  double elements_per_sample = 0;  ///< label elements, for torchtitan's "tps"; 0 = unknown
  std::optional<double> peak_flops = {};      ///< of one device; unknown = no MFU
  std::optional<double> peak_fp8_flops = {};  ///< likewise, where the job has 8-bit products

  /// Makes `means` [n] the mean over ranks and `maxima` [n] the maximum, in place; called on every
  /// rank at the same steps (those of is_record_step). Empty: values are reduced already.
  std::function<void(at::Tensor& means, at::Tensor& maxima)> reduce = {};
  /// Waits for the device; called around pauses and after the first step. Empty = nothing to wait
  /// for.
  std::function<void()> synchronize = {};
  std::function<std::optional<memory::MemoryStats>()> memory_stats = {};  ///< empty = unknown
  std::function<void()> reset_memory_peak = {};  ///< empty = peaks are never reset
  std::function<double()> now = {};              ///< seconds, steady; empty = the system's clock
};

/// Records appear at step 1, every `log_freq` steps and at the last step. `loss`, `loss_max`,
/// `grad_norm` cover all steps since the previous record. Times leave out pauses (evaluation,
/// sampling, checkpoints) and the first step of the process (its allocations and caches): the
/// record that holds that step alone gives its time but no throughput. Memory peaks are those of
/// training, not of pauses.
class MetricsProcessor {
 public:
  MetricsProcessor(MetricsOptions options, std::vector<std::unique_ptr<MetricsSink>> sinks);

  /// Starts the clock; right before the first step.
  void start();
  /// After each step. Returns the record where one is due (on every rank, sinks or not).
  std::optional<TrainRecord> step(const StepReport& report);
  /// Whether `step` gets a record: a function of the step alone.
  bool is_record_step(int64_t step) const;

  /// As long as it lives, time and memory peaks are not counted as training. Scopes may nest.
  class PauseScope {
   public:
    explicit PauseScope(MetricsProcessor& processor) : processor_(processor) {
      processor_.begin_pause();
    }
    ~PauseScope() { processor_.end_pause(); }
    PauseScope(const PauseScope&) = delete;
    PauseScope& operator=(const PauseScope&) = delete;

   private:
    MetricsProcessor& processor_;
  };
  [[nodiscard]] PauseScope pause() { return PauseScope(*this); }

  void eval(const EvalRecord& record);
  /// In a pause the event gets "seconds": since that pause (the innermost) began.
  void event(const EventRecord& record);
  /// Tells the sinks that the run leaves, after an event "finish" (all steps are done) or "stop".
  void finish();

 private:
  /// What is summed since the previous record; the tensors are float64 on the device of the losses.
  struct Window {
    at::Tensor loss_sum, loss_max, grad_norm_sum;
    int64_t steps = 0;
    int64_t timed_steps = 0;
    int64_t timed_samples = 0;
    double timed_from = 0;
    double paused_s = 0;
    double data_wait_s = 0;
  };

  void begin_pause();
  void end_pause() noexcept;
  void accumulate(const StepReport& report);
  void end_warm_up(const StepReport& report);
  TrainRecord make_record(const StepReport& report);
  void fill_values(TrainRecord& record);
  void fill_times(TrainRecord& record);
  void fill_memory(TrainRecord& record);
  std::optional<double> eta(int64_t step) const;
  void wait_for_device() const;

  MetricsOptions options_;
  std::vector<std::unique_ptr<MetricsSink>> sinks_;
  Window window_;
  int64_t samples_ = 0;
  bool warm_ = false;
  double warm_up_s_ = 0;
  double warm_up_data_wait_s_ = 0;
  std::optional<double> typical_step_s_;
  double active_total_s_ = 0;
  double paused_total_s_ = 0;
  std::optional<int64_t> last_step_;
  std::vector<double> pauses_began_;  ///< when, from the outermost to the innermost
  int64_t peak_active_ = 0;           ///< peaks seen before pauses since the previous record
  int64_t peak_reserved_ = 0;
};

}  // namespace titan::metrics
