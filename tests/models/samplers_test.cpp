#include "tests/support/catch.h"

#include "titan/base/check.h"
#include "titan/models/samplers/ddim.h"
#include "titan/models/samplers/euler.h"

using titan::Conditioning;
using titan::SamplerOptions;
using titan::objectives::BetaSchedule;
using titan::objectives::FlowDirection;
using titan::objectives::Prediction;
using titan::samplers::DdimSampler;
using titan::samplers::EulerSampler;

namespace {

Conditioning labelled(int64_t label) {
  Conditioning condition;
  condition.set("label", torch::full({2}, label));
  return condition;
}

/// alpha_bar of the time the model is given.
double alpha_bar_at(const at::Tensor& t, BetaSchedule schedule) {
  const auto step = static_cast<std::size_t>(std::lround(1000 * t[0].item<double>()));
  return titan::objectives::alphas_cumprod(schedule, 1000).at(step);
}

/// The best possible prediction where data is normal with this mean and deviation.
at::Tensor normal_denoiser(const at::Tensor& x, double alpha_bar, Prediction kind, double mean,
                           double deviation) {
  const double signal = std::sqrt(alpha_bar), spread = std::sqrt(1 - alpha_bar);
  const at::Tensor noise =
      spread * (x - signal * mean) / (alpha_bar * deviation * deviation + 1 - alpha_bar);
  return kind == Prediction::kEpsilon ? noise : (noise - spread * x) / signal;
}

}  // namespace

TEST_CASE("Euler reaches the data of a straight field in both directions and any shift",
          "[models]") {
  const auto direction = GENERATE(FlowDirection::kDataAtOne, FlowDirection::kNoiseAtOne);
  const double shift = GENERATE(1.0, 3.0);
  const at::Tensor data = torch::randn({2, 3, 4, 4}), noise = torch::randn({2, 3, 4, 4});
  std::vector<double> times;
  const auto denoise = [&](const at::Tensor& x, const at::Tensor& t, const Conditioning&) {
    times.push_back(t[0].item<double>());
    const double sigma = direction == FlowDirection::kDataAtOne ? 1 - times.back() : times.back();
    const at::Tensor field = (data - x) / sigma;  // towards the data by the time left
    return direction == FlowDirection::kDataAtOne ? field : -field;
  };
  const EulerSampler sampler({.direction = direction, .shift = shift});
  const at::Tensor x = sampler.sample(denoise, noise, {}, {}, {.steps = 4});
  REQUIRE(torch::allclose(x, data, 0, 1e-5));
  for (std::size_t i = 0; i < 4; ++i) {
    const double plain = 1 - static_cast<double>(i) / 4,
                 sigma = shift * plain / (1 + (shift - 1) * plain);
    REQUIRE(times[i] == Approx(direction == FlowDirection::kDataAtOne ? 1 - sigma : sigma));
  }
}

TEST_CASE("guidance runs from the null prediction through the conditional one", "[models]") {
  int calls = 0;
  const auto denoise = [&](const at::Tensor& x, const at::Tensor&, const Conditioning& condition) {
    ++calls;
    return torch::full_like(x, condition.get("label")[0].item<double>());
  };
  const at::Tensor noise = torch::zeros({2, 1, 1, 1});
  const auto sampled = [&](double guidance) {
    calls = 0;
    return EulerSampler({})
        .sample(denoise, noise, labelled(3), labelled(1), {.steps = 2, .guidance = guidance})[0]
        .item<double>();
  };
  REQUIRE(sampled(1.0) == Approx(3));
  REQUIRE(calls == 2);  // no second forward where it has no say
  REQUIRE(sampled(3.0) == Approx(1 + 3.0 * (3 - 1)));
  REQUIRE(calls == 4);
  REQUIRE(sampled(0.0) == Approx(1));
}

TEST_CASE("samplers show every step, record no gradient and refuse what makes no sense",
          "[models]") {
  const at::Tensor weight = torch::ones({}, torch::requires_grad());
  const auto denoise = [&](const at::Tensor& x, const at::Tensor&, const Conditioning&) {
    return (x * weight).to(torch::kBFloat16);
  };
  const EulerSampler euler({});
  const DdimSampler ddim({});
  for (const titan::Sampler* sampler :
       std::initializer_list<const titan::Sampler*>{&euler, &ddim}) {
    std::vector<int64_t> seen;
    at::Tensor last;
    const at::Tensor x = sampler->sample(denoise, torch::randn({2, 1, 2, 2}), {}, {}, {.steps = 3},
                                         [&](int64_t step, const at::Tensor& state) {
                                           seen.push_back(step);
                                           last = state;
                                         });
    REQUIRE(seen == std::vector<int64_t>{0, 1, 2});
    REQUIRE(torch::equal(last, x));
    REQUIRE(x.scalar_type() == torch::kFloat);
    REQUIRE_FALSE(x.requires_grad());
    REQUIRE_THROWS_AS(sampler->sample(denoise, x, {}, {}, {.steps = 0}), titan::Error);
  }
  REQUIRE_THROWS_AS(ddim.sample(denoise, torch::randn({1, 1, 1, 1}), {}, {}, {.steps = 1001}),
                    titan::Error);
}

TEST_CASE("DDIM turns noise into the distribution its predictions describe", "[models]") {
  const auto prediction = GENERATE(Prediction::kEpsilon, Prediction::kV);
  const auto schedule =
      GENERATE(BetaSchedule::kLinear, BetaSchedule::kScaledLinear, BetaSchedule::kCosine);
  const double mean = 0.7, deviation = 0.3;
  const auto denoise = [&](const at::Tensor& x, const at::Tensor& t, const Conditioning&) {
    return normal_denoiser(x, alpha_bar_at(t, schedule), prediction, mean, deviation);
  };
  const at::Tensor noise = torch::linspace(-2, 2, 5, torch::kFloat).view({1, 1, 1, 5});
  const DdimSampler sampler({.schedule = schedule, .prediction = prediction});
  const at::Tensor x = sampler.sample(denoise, noise, {}, {}, {.steps = 1000});
  // The exact flow carries a quantile of the noisy data at the last step, taken for pure noise by
  // every sampler, to the same quantile of the data. First-order steps shrink the spread by about 1
  // %.
  const double alpha_bar = titan::objectives::alphas_cumprod(schedule, 1000).back();
  const at::Tensor quantile = (noise - std::sqrt(alpha_bar) * mean) /
                              std::sqrt(alpha_bar * deviation * deviation + 1 - alpha_bar);
  CAPTURE(static_cast<int>(schedule), x);
  REQUIRE(torch::allclose(x, mean + deviation * quantile, 0, 0.01));
}

TEST_CASE("DDIM starts at the last step and takes them evenly", "[models]") {
  REQUIRE(titan::samplers::ddim_steps(1000, 4) == std::vector<int64_t>{999, 749, 499, 249});
  REQUIRE(titan::samplers::ddim_steps(10, 3) == std::vector<int64_t>{9, 6, 2});
  REQUIRE(titan::samplers::ddim_steps(5, 5) == std::vector<int64_t>{4, 3, 2, 1, 0});
}
