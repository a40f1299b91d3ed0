#include "tests/support/catch.h"

#include "titan/models/objectives/timesteps.h"

#include "tests/support/golden.h"

namespace objectives = titan::objectives;
using objectives::LossWeight;
using objectives::TimestepDensity;
using titan::testing::GoldenCase;

namespace {

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

/// Every transform of the case, from its draws in `dtype`, under the names of the expected tensors.
std::map<std::string, at::Tensor> transforms(const GoldenCase& golden, at::ScalarType dtype) {
  const nlohmann::json& config = golden.json.at("config");
  const at::Tensor u = golden.at("input.u").to(dtype), n = golden.at("input.n").to(dtype);
  std::map<std::string, at::Tensor> result{{"uniform", u}, {"cosmap", objectives::cosmap_sigma(u)}};
  at::Tensor first_logit;
  for (const auto& pair : config.at("logit")) {
    const double mean = pair.at(0), std = pair.at(1);
    const at::Tensor sigma = objectives::logit_normal_sigma(n, mean, std);
    if (!first_logit.defined()) first_logit = sigma;
    result["logit_normal_" + short_number(mean) + "_" + short_number(std)] = sigma;
  }
  for (const double scale : config.at("mode"))
    result["mode_" + short_number(scale)] = objectives::mode_sigma(u, scale);
  for (const double shift : config.at("shift")) {
    result["uniform_shift_" + short_number(shift)] = objectives::shift_sigma(u, shift);
    result["logit_normal_shift_" + short_number(shift)] =
        objectives::shift_sigma(first_logit, shift);
  }
  for (const int64_t tokens : config.at("tokens"))
    result["flux_shift_" + std::to_string(tokens)] =
        objectives::shift_sigma(u, objectives::shift_for_tokens(tokens));
  result["weight_sigma_sqrt"] = objectives::loss_weight(LossWeight::kSigmaSqrt, first_logit);
  result["weight_cosmap"] = objectives::loss_weight(LossWeight::kCosMap, first_logit);
  return result;
}

at::Tensor draw(const objectives::TimestepOptions& options, int64_t count) {
  return objectives::draw_sigma(options, torch::arange(count), torch::zeros({count}, torch::kLong),
                                5);
}

}  // namespace

TEST_CASE("noise levels and weights agree with the golden ones, edges included", "[golden]") {
  const auto cases = titan::testing::golden_cases("dit", "timesteps");
  if (cases.empty()) TITAN_SKIP(titan::testing::kNoGolden);
  for (const auto& path : cases) {
    const GoldenCase golden = titan::testing::load_golden(path);
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const bool exact = dtype == at::kDouble;
      titan::testing::ErrorReport report(golden.name + (exact ? " (float64)" : " (float32)"));
      const auto expected = golden.with_prefix("output.");
      const auto actual = transforms(golden, dtype);
      REQUIRE(actual.size() == expected.size());
      for (const auto& [name, tensor] : expected) {
        INFO(name);
        REQUIRE(actual.count(name) == 1);
        const bool weight = name.starts_with("weight");
        const double difference =
            report.add(weight ? "weights" : "noise levels", name, actual.at(name), tensor);
        REQUIRE(difference <= (exact ? 1e-12 : weight ? 1e-5 : 1e-6));
      }
    }
  }
}

TEST_CASE("drawn noise levels have their density", "[models]") {
  const int64_t count = 100000;
  const double four_errors = 4 / std::sqrt(static_cast<double>(count));
  const auto density = GENERATE(TimestepDensity::kUniform, TimestepDensity::kLogitNormal,
                                TimestepDensity::kMode, TimestepDensity::kCosMap);
  const at::Tensor sigma = draw({.density = density}, count).to(torch::kDouble);
  REQUIRE(sigma.min().item<double>() >= 0);
  REQUIRE(sigma.max().item<double>() <= 1);
  const auto share_below = [&](double limit) {
    return sigma.lt(limit).to(torch::kDouble).mean().item<double>();
  };
  // All four are symmetric about one half; the quarter tells them apart.
  REQUIRE(share_below(0.5) == Approx(0.5).margin(four_errors));
  double quarter = 0.25;
  if (density == TimestepDensity::kLogitNormal)
    quarter = 0.5 * std::erfc(std::log(3.0) / std::sqrt(2.0));
  if (density == TimestepDensity::kCosMap)
    quarter = 2 / M_PI * std::atan(1.0 / 3);  // sigma = tan / (1 + tan) of pi u / 2
  if (density == TimestepDensity::kMode) {    // invert the falling map by bisection
    double low = 0, high = 1;
    for (int i = 0; i < 60; ++i) {
      const double u = (low + high) / 2, c = std::cos(M_PI * u / 2);
      (1 - u - 1.29 * (c * c - 1 + u) > 0.25 ? low : high) = u;
    }
    quarter = 1 - low;
  }
  REQUIRE(share_below(0.25) == Approx(quarter).margin(four_errors));
}

TEST_CASE("a shift moves noise levels towards noise and keeps the ends", "[models]") {
  const at::Tensor plain = draw({}, 1000), shifted = draw({.shift = 3}, 1000);
  REQUIRE(shifted.gt(plain).all().item<bool>());
  REQUIRE(torch::allclose(shifted, 3 * plain / (1 + 2 * plain)));
  REQUIRE(objectives::shift_sigma(0.0, 3) == 0);
  REQUIRE(objectives::shift_sigma(1.0, 3) == 1);
  REQUIRE(std::log(objectives::shift_for_tokens(256)) == Approx(0.5));
  REQUIRE(std::log(objectives::shift_for_tokens(4096)) == Approx(1.15));
}
