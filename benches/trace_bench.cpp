// What the trace costs: training steps of one model with and without it, taken in turns in one
// process, and the time of one event beside the number of events of a step.
//
//   trace_bench [PAIRS [DIM [LAYERS]]]     64 pairs of a DiT of width 256 with 8 layers, one thread
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <vector>

#include <ATen/Parallel.h>

#include "titan/base/check.h"
#include "titan/base/trace.h"
#include "titan/models/dit/model.h"

#include "benches/training_step.h"

namespace {

using namespace titan;
using Clock = std::chrono::steady_clock;

constexpr int64_t kBatch = 8, kSide = 32, kClasses = 10;
constexpr int kWarmUp = 5;
constexpr int64_t kEvents = 2'000'000;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

benches::StepInputs make_inputs() {
  benches::StepInputs inputs{.x_t = at::randn({kBatch, 3, kSide, kSide}),
                             .t = at::rand({kBatch}),
                             .target = at::randn({kBatch, 3, kSide, kSide}),
                             .condition = {}};
  inputs.condition.set("label", at::arange(kBatch, at::kLong).remainder(kClasses));
  return inputs;
}

/// Of this thread, which does all the work: other programs of a busy machine do not count.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double timed_step(benches::TrainingStep& step, const benches::StepInputs& inputs, Trace* trace,
                  int64_t number) {
  set_current_trace(trace);
  const double began = cpu_seconds();
  if (trace != nullptr) trace->begin_step(number);
  step.run(inputs);
  if (trace != nullptr) trace->end_step();
  const double seconds = cpu_seconds() - began;
  set_current_trace(nullptr);
  return seconds;
}

double nanoseconds_of_event() {
  Trace trace(2);
  set_current_trace(&trace);
  const auto began = Clock::now();
  for (int64_t i = 0; i < kEvents; ++i) {
    if (i % 1000 == 0) trace.begin_step(i);  // the ring stays as large as a step's
    const TraceSpan span("work", 3);
  }
  const std::chrono::duration<double, std::nano> took = Clock::now() - began;
  set_current_trace(nullptr);
  return took.count() / kEvents;
}

int run(int pairs, int64_t dim, int64_t layers) {
  at::set_num_threads(1);
  memory::install_cpu_allocator();
  models::DitConfig config;
  config.dim = dim;
  config.n_layers = layers;
  config.n_heads = 4;
  config.in_channels = 3;
  config.num_classes = kClasses;
  const Status status = models::validate(config, kSide, kSide);
  TITAN_CHECK(status.ok(), message_of(status));
  const auto model = std::make_shared<models::Dit>(config);
  model->initialize(1);
  benches::TrainingStep step(model, 1e-4);
  const benches::StepInputs inputs = make_inputs();
  Trace trace(16);
  for (int i = 0; i < kWarmUp; ++i) timed_step(step, inputs, i % 2 == 0 ? &trace : nullptr, i);
  std::vector<double> with, without, difference;
  for (int i = 0; i < pairs; ++i) {
    const bool first = i % 2 == 0;  // neither is always behind the other
    double on = 0, off = 0;
    if (first) on = timed_step(step, inputs, &trace, i);
    off = timed_step(step, inputs, nullptr, i);
    if (!first) on = timed_step(step, inputs, &trace, i);
    with.push_back(on);
    without.push_back(off);
    difference.push_back((on - off) / off);
  }
  double mean = 0, variance = 0;
  for (const double d : difference) mean += d / pairs;
  for (const double d : difference) variance += (d - mean) * (d - mean) / (pairs - 1);
  const auto events = static_cast<double>(trace.steps().back().events.size());
  const double event_ns = nanoseconds_of_event();
  std::printf("DiT %lldx%lld, batch %lld, 1 thread, %d pairs of steps in turns\n",
              static_cast<long long>(dim), static_cast<long long>(layers),
              static_cast<long long>(kBatch), pairs);
  std::printf("step, CPU time, median   with %.3f ms   without %.3f ms\n", 1e3 * median(with),
              1e3 * median(without));
  std::printf("difference     median %+.4f %%   mean %+.4f %% +- %.4f %% (standard error)\n",
              100 * median(difference), 100 * mean, 100 * std::sqrt(variance / pairs));
  std::printf("events         %.0f a step x %.0f ns = %.2f us = %.5f %% of a step\n", events,
              event_ns, events * event_ns / 1e3, 100 * events * event_ns / 1e9 / median(without));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto number = [&](int i, int64_t other) {
      return argc > i ? std::atoll(argv[i]) : other;
    };
    return run(static_cast<int>(number(1, 64)), number(2, 256), number(3, 8));
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
