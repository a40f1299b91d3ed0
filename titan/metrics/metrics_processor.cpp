#include "titan/metrics/metrics_processor.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "titan/base/check.h"
#include "titan/base/log.h"

namespace titan::metrics {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr double kNewShare =
    0.3;  // weight of the newest record in the typical step time behind the ETA

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::optional<double> finite(double value) {
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

/// sum += value, on the device; the first value makes the sum.
void add_to(at::Tensor& sum, const at::Tensor& value) {
  if (sum.defined()) {
    sum.add_(value.detach());
  } else {
    sum = value.detach().to(at::kDouble, /*non_blocking=*/false, /*copy=*/true);
  }
}

}  // namespace

MetricsProcessor::MetricsProcessor(MetricsOptions options,
                                   std::vector<std::unique_ptr<MetricsSink>> sinks)
    : options_(std::move(options)), sinks_(std::move(sinks)), samples_(options_.samples_before) {
  TITAN_CHECK(options_.log_freq >= 1,
              "[metrics] log_freq must be at least 1 (log_freq=", options_.log_freq, ")");
  if (!options_.now) options_.now = steady_seconds;
  start();
}

void MetricsProcessor::start() {
  window_ = {};
  window_.timed_from = options_.now();
  warm_ = false;
  if (options_.reset_memory_peak) options_.reset_memory_peak();
}

bool MetricsProcessor::is_record_step(int64_t step) const {
  return step == 1 || step % options_.log_freq == 0 || step == options_.total_steps;
}

std::optional<TrainRecord> MetricsProcessor::step(const StepReport& report) {
  accumulate(report);
  if (!warm_) end_warm_up(report);
  last_step_ = report.step;
  std::optional<TrainRecord> record;
  if (is_record_step(report.step)) {
    record = make_record(report);
    for (const auto& sink : sinks_) sink->train(*record);
  } else {
    const Progress progress{report.step, options_.total_steps, eta(report.step)};
    for (const auto& sink : sinks_) sink->progress(progress);
  }
  return record;
}

void MetricsProcessor::accumulate(const StepReport& report) {
  TITAN_CHECK(report.loss.defined(), "[metrics] a step must report its loss (step=", report.step,
              ")");
  const at::NoGradGuard no_grad;
  add_to(window_.loss_sum, report.loss);
  if (report.grad_norm.defined()) add_to(window_.grad_norm_sum, report.grad_norm);
  const at::Tensor& largest = report.loss_max.defined() ? report.loss_max : report.loss;
  if (window_.loss_max.defined()) {
    window_.loss_max = at::maximum(window_.loss_max, largest.detach());
  } else {
    window_.loss_max = largest.detach().to(at::kDouble, /*non_blocking=*/false, /*copy=*/true);
  }
  samples_ += report.samples;
  ++window_.steps;
  if (!warm_) return;
  ++window_.timed_steps;
  window_.timed_samples += report.samples;
  window_.data_wait_s += report.data_wait_s;
}

// The first step allocates, fills caches and captures graphs: its time would distort every average
// it is part of.
void MetricsProcessor::end_warm_up(const StepReport& report) {
  wait_for_device();  // host sync, once
  const double now = options_.now();
  warm_up_s_ = now - window_.timed_from - window_.paused_s;
  warm_up_data_wait_s_ = report.data_wait_s;
  window_.timed_from = now;
  window_.paused_s = 0;
  warm_ = true;
}

TrainRecord MetricsProcessor::make_record(const StepReport& report) {
  TrainRecord record;
  record.step = report.step;
  record.samples = samples_;
  record.lr = finite(report.lr);
  fill_values(record);  // host sync: the clock is read after it
  fill_times(record);
  fill_memory(record);
  record.eta_s = eta(report.step);
  window_ = {};
  window_.timed_from = options_.now();
  return record;
}

void MetricsProcessor::fill_values(TrainRecord& record) {
  const at::NoGradGuard no_grad;
  const auto steps = static_cast<double>(window_.steps);
  at::Tensor means = (window_.loss_sum / steps).reshape({1});
  at::Tensor maxima = window_.loss_max.reshape({1});
  if (options_.reduce) options_.reduce(means, maxima);
  const bool has_norm = window_.grad_norm_sum.defined();
  const at::Tensor norm = has_norm ? (window_.grad_norm_sum / steps).to(means.device()) : means[0];
  const at::Tensor values =
      at::stack({means[0], maxima[0], norm}).cpu();  // host sync: the only one between records
  const double* value = values.const_data_ptr<double>();
  record.loss = finite(value[0]);
  record.loss_max = finite(value[1]);
  if (has_norm) record.grad_norm = finite(value[2]);
}

void MetricsProcessor::fill_times(TrainRecord& record) {
  if (window_.timed_steps ==
      0) {  // the warm-up step alone: its time is told, its speed says nothing
    record.step_s = warm_up_s_;
    if (warm_up_s_ > 0)
      record.data_wait_share = std::clamp(warm_up_data_wait_s_ / warm_up_s_, 0.0, 1.0);
    return;
  }
  const double seconds = options_.now() - window_.timed_from - window_.paused_s;
  if (seconds <= 0) return;
  const double step_s = seconds / static_cast<double>(window_.timed_steps);
  typical_step_s_ =
      typical_step_s_ ? (1 - kNewShare) * *typical_step_s_ + kNewShare * step_s : step_s;
  active_total_s_ += seconds;
  record.step_s = step_s;
  record.data_wait_share = std::clamp(window_.data_wait_s / seconds, 0.0, 1.0);
  const double samples_per_s = static_cast<double>(window_.timed_samples) / seconds;
  record.samples_per_s = samples_per_s;
  const double per_device = samples_per_s / options_.world_size;
  if (options_.elements_per_sample > 0)
    record.elements_per_s = options_.elements_per_sample * per_device;
  if (options_.flops_per_sample <= 0) return;
  const double flops = options_.flops_per_sample * per_device;
  record.tflops = flops / 1e12;
  if (options_.peak_flops) record.mfu = flops / *options_.peak_flops;
  if (options_.peak_fp8_flops) record.mfu_fp8 = flops / *options_.peak_fp8_flops;
}

void MetricsProcessor::fill_memory(TrainRecord& record) {
  if (!options_.memory_stats) return;
  record.memory = options_.memory_stats();
  if (!record.memory) return;
  record.memory->peak_active = std::max(record.memory->peak_active, peak_active_);
  record.memory->peak_reserved = std::max(record.memory->peak_reserved, peak_reserved_);
  record.memory_gib = static_cast<double>(record.memory->peak_active) / kGiB;
  peak_active_ = peak_reserved_ = 0;
  if (options_.reset_memory_peak) options_.reset_memory_peak();
}

std::optional<double> MetricsProcessor::eta(int64_t step) const {
  if (!typical_step_s_ || options_.total_steps < step) return std::nullopt;
  const double pauses = active_total_s_ > 0 ? paused_total_s_ / active_total_s_ : 0;
  return static_cast<double>(options_.total_steps - step) * *typical_step_s_ * (1 + pauses);
}

void MetricsProcessor::begin_pause() {
  const bool nested = !pauses_began_.empty();
  if (!nested) wait_for_device();
  pauses_began_.push_back(options_.now());
  if (nested) return;
  if (options_.memory_stats) {
    if (const auto stats = options_.memory_stats()) {
      peak_active_ = std::max(peak_active_, stats->peak_active);
      peak_reserved_ = std::max(peak_reserved_, stats->peak_reserved);
    }
  }
}

void MetricsProcessor::end_pause() noexcept {
  const double began = pauses_began_.back();
  pauses_began_.pop_back();
  if (!pauses_began_.empty()) return;
  try {
    wait_for_device();
    if (options_.reset_memory_peak) options_.reset_memory_peak();
  } catch (const std::exception& error) {  // a failed device shows again in the next operation
    TITAN_LOG(WARNING) << "[metrics] cannot wait for the device (" << error.what() << ")";
  }
  const double paused = options_.now() - began;
  window_.paused_s += paused;
  paused_total_s_ += paused;
}

void MetricsProcessor::eval(const EvalRecord& record) {
  for (const auto& sink : sinks_) sink->eval(record);
}

void MetricsProcessor::event(const EventRecord& record) {
  EventRecord timed = record;
  if (!pauses_began_.empty())
    timed.values.emplace_back("seconds", options_.now() - pauses_began_.back());
  for (const auto& sink : sinks_) sink->event(timed);
}

void MetricsProcessor::finish() {
  if (last_step_)
    event({.step = *last_step_,
           .name = *last_step_ == options_.total_steps ? "finish" : "stop",
           .values = {}});
  for (const auto& sink : sinks_) sink->finish();
}

void MetricsProcessor::wait_for_device() const {
  if (options_.synchronize) options_.synchronize();
}

}  // namespace titan::metrics
