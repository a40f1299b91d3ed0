#include "tests/support/catch.h"

#include "titan/models/objectives/ddpm.h"

#include "titan/base/check.h"

#include "tests/models/example_batch.h"

using titan::TrainingExample;
using titan::objectives::BetaSchedule;
using titan::objectives::Ddpm;
using titan::objectives::Prediction;
using titan::testing::example_batch;

TEST_CASE("noise schedules have their published values", "[models]") {
  const auto require_schedule = [](BetaSchedule schedule, double first, double middle,
                                   double last) {
    const std::vector<double> alpha_bar = titan::objectives::alphas_cumprod(schedule, 1000);
    REQUIRE(alpha_bar.size() == 1000);
    REQUIRE(alpha_bar.front() == Approx(first).epsilon(1e-9));
    REQUIRE(alpha_bar[500] == Approx(middle).epsilon(1e-6));
    REQUIRE(alpha_bar.back() == Approx(last).epsilon(1e-6));
    REQUIRE(std::is_sorted(alpha_bar.rbegin(), alpha_bar.rend()));
  };
  // First, 501st and last value, by the formulas in Python's float64.
  require_schedule(BetaSchedule::kLinear, 0.9999, 0.07779665836502389, 4.0358297653756754e-05);
  require_schedule(BetaSchedule::kScaledLinear, 0.99915, 0.2763326838229746, 0.004660098513077236);
  require_schedule(BetaSchedule::kCosine, 0.999958715775178, 0.49228517244880304,
                   2.4287669070348567e-09);
}

TEST_CASE("the linear schedules end in noise for any number of steps", "[models]") {
  for (const BetaSchedule schedule :
       {BetaSchedule::kLinear, BetaSchedule::kScaledLinear, BetaSchedule::kCosine}) {
    const double thousand = titan::objectives::alphas_cumprod(schedule, 1000).back();
    for (const int64_t steps : {50, 250, 4000}) {
      INFO(static_cast<int>(schedule) << " " << steps);
      REQUIRE(titan::objectives::alphas_cumprod(schedule, steps).back() <
              1.5 * std::max(thousand, 1e-5));
    }
  }
  REQUIRE_THROWS_AS(titan::objectives::betas(BetaSchedule::kLinear, 1), titan::Error);
}

TEST_CASE("DDPM mixes by the square roots and keeps the variance", "[models]") {
  const at::Tensor data = torch::randn({2, 1, 64, 64}), noise = torch::randn({2, 1, 64, 64});
  const at::Tensor step = torch::tensor({10, 999});
  const auto alpha_bar = titan::objectives::alphas_cumprod(BetaSchedule::kLinear, 1000);
  for (const Prediction prediction : {Prediction::kEpsilon, Prediction::kV}) {
    const TrainingExample example = Ddpm({.prediction = prediction}, 1).mix(data, noise, step);
    REQUIRE(torch::allclose(example.t, torch::tensor({0.010F, 0.999F})));
    for (int64_t i = 0; i < 2; ++i) {
      const double a = alpha_bar[static_cast<std::size_t>(step[i].item<int64_t>())];
      const at::Tensor x = std::sqrt(a) * data[i] + std::sqrt(1 - a) * noise[i];
      REQUIRE(torch::allclose(example.x_t[i], x, 0, 1e-6));
      const at::Tensor v = std::sqrt(a) * noise[i] - std::sqrt(1 - a) * data[i];
      REQUIRE(torch::allclose(example.target[i], prediction == Prediction::kEpsilon ? noise[i] : v,
                              0, 1e-6));
    }
  }
}

TEST_CASE("DDPM draws every step equally often", "[models]") {
  titan::Batch batch;
  batch.sample = torch::arange(40000);
  batch.epoch = torch::zeros({40000}, torch::kLong);
  batch.fields.set("image", torch::zeros({40000, 1, 1, 1}));
  const at::Tensor step =
      (Ddpm({.num_timesteps = 8}, 3).prepare(batch).t * 8).round().to(torch::kLong);
  const at::Tensor counts = torch::bincount(step, {}, 8);
  REQUIRE(counts.numel() == 8);
  REQUIRE((counts - 5000).abs().max().item<double>() < 4 * std::sqrt(5000.0));
}

TEST_CASE("min-SNR weights cap the easy steps", "[models]") {
  // snr = 9 at alpha_bar 0.9, 1/9 at 0.1.
  using titan::objectives::min_snr_weight;
  REQUIRE(min_snr_weight(0.9, 5, Prediction::kEpsilon) == Approx(5.0 / 9));
  REQUIRE(min_snr_weight(0.9, 5, Prediction::kV) == Approx(5.0 / 10));
  REQUIRE(min_snr_weight(0.1, 5, Prediction::kEpsilon) == Approx(1.0));
  REQUIRE(min_snr_weight(0.1, 5, Prediction::kV) == Approx((1.0 / 9) / (10.0 / 9)));
  const Ddpm plain({}, 1), weighted({.min_snr_gamma = 5}, 1);
  const TrainingExample example = weighted.prepare(example_batch(6));
  const at::Tensor prediction = torch::zeros_like(example.target);
  const at::Tensor ratio =
      weighted.loss(prediction, example) / plain.loss(prediction, plain.prepare(example_batch(6)));
  const auto alpha_bar = titan::objectives::alphas_cumprod(BetaSchedule::kLinear, 1000);
  for (int64_t i = 0; i < 6; ++i) {
    const auto step = static_cast<std::size_t>(std::lround(1000 * example.t[i].item<double>()));
    REQUIRE(ratio[i].item<double>() ==
            Approx(min_snr_weight(alpha_bar[step], 5, Prediction::kEpsilon)).epsilon(1e-5));
  }
}

TEST_CASE("evaluation of a DDPM asks at eight fixed steps, the same in any batch", "[models]") {
  const Ddpm objective({.num_timesteps = 1000, .dropout = {.probability = 1, .null_class = 10}}, 3);
  const at::Tensor timestep = torch::tensor({0, 1, 7, 4}, torch::kLong);
  const TrainingExample example = objective.prepare_evaluation(example_batch(4), timestep, 5);
  REQUIRE(torch::allclose(example.t, torch::tensor({0.0F, 0.125F, 0.875F, 0.5F})));
  REQUIRE(torch::equal(example.condition.get("label"), example_batch(4).fields.get("label")));
  REQUIRE_FALSE(example.weight.defined());
  const TrainingExample later =
      objective.prepare_evaluation(example_batch(2, 2), timestep.slice(0, 0, 2), 5);
  const TrainingExample alone =
      objective.prepare_evaluation(example_batch(1, 3), timestep.slice(0, 1, 2), 5);
  // 1e-6: float32 in vectors of another length.
  REQUIRE(torch::allclose(later.x_t[1], alone.x_t[0], 0, 1e-6));
  REQUIRE_FALSE(
      torch::equal(example.x_t, objective.prepare_evaluation(example_batch(4), timestep, 6).x_t));
}
