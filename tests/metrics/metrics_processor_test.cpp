#include "titan/metrics/metrics_processor.h"

#include <limits>

#include "tests/support/catch.h"
#include "titan/base/check.h"

namespace titan::metrics {
namespace {

/// Keeps what it is given.
struct Kept {
  std::vector<TrainRecord> train;
  std::vector<Progress> progress;
  int evals = 0;
  int events = 0;
  EventRecord last_event;
  bool finished = false;
};
class KeepingSink : public MetricsSink {
 public:
  explicit KeepingSink(Kept& kept) : kept_(kept) {}
  void train(const TrainRecord& record) override { kept_.train.push_back(record); }
  void eval(const EvalRecord& /*record*/) override { ++kept_.evals; }
  void event(const EventRecord& record) override {
    ++kept_.events;
    kept_.last_event = record;
  }
  void progress(const Progress& progress) override { kept_.progress.push_back(progress); }
  void finish() override { kept_.finished = true; }

 private:
  Kept& kept_;
};

/// A processor with a clock of our own.
struct Bench {
  explicit Bench(MetricsOptions options) {
    options.now = [this] { return now; };
    std::vector<std::unique_ptr<MetricsSink>> sinks;
    sinks.push_back(std::make_unique<KeepingSink>(kept));
    processor = std::make_unique<MetricsProcessor>(std::move(options), std::move(sinks));
  }
  std::optional<TrainRecord> step(int64_t number, double seconds, double loss = 1.0,
                                  double wait = 0) {
    now += seconds;
    return processor->step({.step = number,
                            .samples = 32,
                            .loss = at::scalar_tensor(loss, at::kFloat),
                            .grad_norm = at::scalar_tensor(2 * loss, at::kFloat),
                            .lr = 0.1,
                            .data_wait_s = wait});
  }
  double now = 100;
  Kept kept;
  std::unique_ptr<MetricsProcessor> processor;
};

}  // namespace

TEST_CASE("Records appear at step 1, at the interval and at the last step", "[metrics]") {
  Bench bench({.log_freq = 4, .total_steps = 10});
  for (int64_t step = 1; step <= 10; ++step) bench.step(step, 1);
  std::vector<int64_t> steps;
  for (const TrainRecord& record : bench.kept.train) steps.push_back(record.step);
  REQUIRE(steps == std::vector<int64_t>{1, 4, 8, 10});
  REQUIRE(bench.kept.train.back().samples == 320);
  REQUIRE(bench.kept.train.back().eta_s == Approx(0));
  REQUIRE(bench.kept.progress.size() == 6);
  REQUIRE_THROWS_AS(Bench({.log_freq = 0}), Error);
}

TEST_CASE("Loss and norm are means over the interval, loss_max its largest", "[metrics]") {
  Bench bench({.log_freq = 4, .total_steps = 100, .samples_before = 1000});
  bench.step(1, 1, 8.0);
  bench.step(2, 1, 1.0);
  bench.step(3, 1, 4.0);
  const auto record = bench.step(4, 1, 1.0);
  REQUIRE(*bench.kept.train[0].loss == 8.0);
  REQUIRE(*record->loss == 2.0);
  REQUIRE(*record->loss_max == 4.0);
  REQUIRE(*record->grad_norm == 4.0);
  REQUIRE(*record->lr == 0.1);
  REQUIRE(record->samples == 1000 + 4 * 32);
}

TEST_CASE("A replayed graph writes the same loss tensor each step", "[metrics]") {
  Bench bench({.log_freq = 3, .total_steps = 100});
  const at::Tensor loss = at::zeros({}, at::kFloat).requires_grad_();
  for (int64_t step = 2; step <= 6; ++step) {
    {
      const at::NoGradGuard no_grad;
      loss.fill_(static_cast<double>(step));
    }
    bench.processor->step({.step = step, .samples = 1, .loss = loss});
  }
  REQUIRE(*bench.kept.train[0].loss == 2.5);  // steps 2, 3
  REQUIRE(*bench.kept.train[1].loss == 5.0);  // steps 4, 5, 6
  REQUIRE_FALSE(bench.kept.train[1].grad_norm.has_value());
}

TEST_CASE("One value that is not finite shows as unknown", "[metrics]") {
  Bench bench({.log_freq = 3, .total_steps = 100});
  bench.step(1, 1);
  bench.step(2, 1, std::numeric_limits<double>::quiet_NaN());
  const auto record = bench.step(3, 1);
  REQUIRE_FALSE(record->loss.has_value());
  REQUIRE_FALSE(record->loss_max.has_value());
  REQUIRE_FALSE(record->grad_norm.has_value());
  REQUIRE(bench.step(6, 1)->loss.has_value());
}

TEST_CASE("Warm-up and pauses do not distort times", "[metrics]") {
  Bench bench(
      {.log_freq = 4, .total_steps = 12, .flops_per_sample = 1e12, .elements_per_sample = 10});
  const auto first = bench.step(1, 50, 1.0, 10);
  REQUIRE(*first->step_s == 50);
  REQUIRE(*first->data_wait_share == Approx(0.2));
  REQUIRE_FALSE(first->samples_per_s.has_value());
  REQUIRE_FALSE(first->tflops.has_value());

  bench.step(2, 1, 1.0, 0.25);
  {
    const auto pause = bench.processor->pause();
    bench.now += 1000;
    const auto nested = bench.processor->pause();
    bench.now += 500;
  }
  bench.step(3, 1);
  const auto record = bench.step(4, 1, 1.0, 0.5);
  REQUIRE(*record->step_s == Approx(1));
  REQUIRE(*record->samples_per_s == Approx(32));
  REQUIRE(*record->data_wait_share == Approx(0.25));
  REQUIRE(*record->tflops == Approx(32));
  REQUIRE(*record->elements_per_s == Approx(320));
  REQUIRE_FALSE(record->mfu.has_value());
  REQUIRE_FALSE(record->mfu_fp8.has_value());
  // Eight steps are left; pauses took 1500 s beside 3 s of training, and will again.
  REQUIRE(*record->eta_s == Approx(8 * (1 + 1500.0 / 3)));
}

TEST_CASE("A resumed process leaves its own first step out", "[metrics]") {
  Bench bench({.log_freq = 4,
               .total_steps = 100,
               .samples_before = 50 * 32,
               .world_size = 2,
               .flops_per_sample = 1e12,
               .peak_flops = 64e12,
               .peak_fp8_flops = 128e12});
  bench.step(51, 90, 1.0, 80);
  const auto record = bench.step(52, 2, 3.0, 1);
  REQUIRE(*record->loss == 2.0);  // both steps count for the loss
  REQUIRE(*record->step_s == Approx(2));
  REQUIRE(*record->samples_per_s == Approx(16));
  REQUIRE(*record->data_wait_share == Approx(0.5));
  REQUIRE(*record->tflops == Approx(8));  // of each of two devices
  REQUIRE(*record->mfu == Approx(0.125));
  REQUIRE(*record->mfu_fp8 == Approx(0.0625));
}

TEST_CASE("Values are reduced over ranks once a record", "[metrics]") {
  int calls = 0;
  Bench bench(
      {.log_freq = 2, .total_steps = 100, .reduce = [&](at::Tensor& means, at::Tensor& maxima) {
         ++calls;
         means.mul_(0.5);
         maxima.add_(10);
       }});
  bench.step(1, 1, 4.0);
  bench.step(2, 1, 6.0);
  bench.step(3, 1, 6.0);
  REQUIRE(calls == 2);
  REQUIRE(*bench.kept.train[1].loss == 3.0);
  REQUIRE(*bench.kept.train[1].loss_max == 16.0);
  REQUIRE(*bench.kept.train[1].grad_norm == 12.0);  // the norm is global already
}

TEST_CASE("Memory peaks are those of training, since the last record", "[metrics]") {
  memory::MemoryStats stats;
  Bench bench({.log_freq = 2,
               .total_steps = 100,
               .memory_stats = [&] { return std::optional(stats); },
               .reset_memory_peak = [&] { stats.peak_active = stats.active; }});
  stats.active = int64_t{1} << 30;
  stats.peak_active = int64_t{3} << 30;
  bench.step(1, 1);
  REQUIRE(*bench.kept.train[0].memory_gib == 3);
  stats.peak_active = int64_t{2} << 30;
  {
    const auto pause = bench.processor->pause();
    stats.peak_active = int64_t{9} << 30;  // sampling takes more
  }
  bench.step(2, 1);
  REQUIRE(*bench.kept.train[1].memory_gib == 2);
  bench.step(4, 1);
  REQUIRE(*bench.kept.train[2].memory_gib == 1);
}

TEST_CASE("The device is waited for around pauses and after the first step only", "[metrics]") {
  int waits = 0;
  Bench bench({.log_freq = 100, .total_steps = 1000, .synchronize = [&] { ++waits; }});
  for (int64_t step = 2; step < 50; ++step) bench.step(step, 1);
  REQUIRE(waits == 1);
  { const auto pause = bench.processor->pause(); }
  REQUIRE(waits == 3);
}

TEST_CASE("Evaluations, events and the end reach the sinks", "[metrics]") {
  Bench bench({.log_freq = 2});
  bench.processor->eval({.step = 1});
  bench.processor->event({1, "checkpoint", {}});
  bench.processor->finish();
  REQUIRE(bench.kept.evals == 1);
  REQUIRE(bench.kept.events == 1);  // no step, no word about its end
  REQUIRE(bench.kept.finished);
  REQUIRE_THROWS_AS(bench.processor->step({.step = 1}), Error);  // no loss
}

TEST_CASE("An event in a pause tells how long it took; the end says whether all steps are done",
          "[metrics]") {
  Bench bench({.log_freq = 2, .total_steps = 3});
  bench.step(1, 1);
  {
    const auto pause = bench.processor->pause();
    bench.now += 100;
    {
      const auto nested = bench.processor->pause();
      bench.now += 7;
      bench.processor->event({.step = 1, .name = "sample"});
      REQUIRE(bench.kept.last_event.values.size() == 1);
      REQUIRE(bench.kept.last_event.values[0].first == "seconds");
      REQUIRE(std::get<double>(bench.kept.last_event.values[0].second) == Approx(7));
    }
    bench.processor->event({.step = 1, .name = "checkpoint"});
    REQUIRE(std::get<double>(bench.kept.last_event.values[0].second) == Approx(107));
  }
  bench.processor->event({.step = 1, .name = "nonfinite"});
  REQUIRE(bench.kept.last_event.values.empty());
  bench.processor->finish();
  REQUIRE(bench.kept.last_event.name == "stop");
  bench.step(3, 1);
  bench.processor->finish();
  REQUIRE(bench.kept.last_event.name == "finish");
  REQUIRE(bench.kept.last_event.step == 3);
}

}  // namespace titan::metrics
