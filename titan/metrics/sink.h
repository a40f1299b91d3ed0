// metrics: what a run measures and where it is shown. Gets numbers already reduced over ranks;
// knows nothing of meshes, models or trainers.
//
// sink.h: what is reported, and the interface of every place it goes to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "titan/memory/memory_stats.h"

namespace titan::metrics {

/// Figures of the steps since the previous record. Absent = unknown, or not a finite number.
struct TrainRecord {
  int64_t step = 0;
  int64_t samples = 0;                         ///< trained so far, over all ranks
  std::optional<double> loss = {};             ///< mean over the record's steps and all ranks
  std::optional<double> loss_max = {};         ///< largest of them
  std::optional<double> grad_norm = {};        ///< mean over the record's steps, before clipping
  std::optional<double> lr = {};               ///< of the last step
  std::optional<double> samples_per_s = {};    ///< over all ranks, pauses and warm-up left out
  std::optional<double> step_s = {};           ///< seconds per step, likewise
  std::optional<double> data_wait_share = {};  ///< of the step time, in 0..1
  std::optional<double> tflops = {};           ///< TFLOP/s per device
  std::optional<double> mfu = {};              ///< of the device's bfloat16 peak, in 0..1
  std::optional<double> mfu_fp8 = {};          ///< of its 8-bit peak, where the job computes in it
  std::optional<double> memory_gib =
      {};  ///< peak of tensors' bytes since the previous record, in GiB

  std::optional<double> elements_per_s =
      {};  ///< label elements per second and device ("tps" of torchtitan)
  std::optional<memory::MemoryStats> memory = {};
  std::optional<double> eta_s = {};  ///< to the last step, pauses included at their rate so far
};

/// One evaluation.
struct EvalRecord {
  int64_t step = 0;
  int64_t samples = 0;              ///< samples evaluated
  std::optional<double> loss = {};  ///< mean
  std::optional<double> seconds = {};
  std::optional<double> elements_per_s = {};
  std::optional<memory::MemoryStats> memory = {};
  std::vector<std::pair<std::string, double>> values =
      {};  ///< further results under their own names
};

using EventValue = std::variant<int64_t, double, std::string>;
/// Something that happened: "resume", "checkpoint", "sample", ...
struct EventRecord {
  int64_t step = 0;
  std::string name = {};
  std::vector<std::pair<std::string, EventValue>> values = {};
};

/// How far the run is; given after every step, cheap.
struct Progress {
  int64_t step = 0;
  int64_t total_steps = 0;
  std::optional<double> eta_s = {};
};

/// A place where records go. Calls come from one thread, in order of steps. A sink that cannot
/// write warns once and lets the run go on.
class MetricsSink {
 public:
  virtual ~MetricsSink() = default;
  virtual void train(const TrainRecord& record) = 0;
  virtual void eval(const EvalRecord& record) = 0;
  virtual void event(const EventRecord& record) = 0;
  virtual void progress(const Progress& /*progress*/) {}
  /// The run is over, or leaves.
  virtual void finish() {}
};

}  // namespace titan::metrics
