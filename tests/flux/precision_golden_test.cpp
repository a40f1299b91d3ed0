// bfloat16 parameters: how far from the float32 truth, against how far the reference's own bfloat16
// runs are.
#include "tests/support/catch.h"

#include <algorithm>
#include <regex>

#include "tests/flux/flux_testing.h"

namespace titan {
namespace {

using testing::ErrorReport;
using testing::GoldenCase;

/// "parameters: param.* of NAME.safetensors": the case shares another case's weights.
GoldenCase weights_case(const GoldenCase& golden, const std::filesystem::path& path) {
  std::smatch match;
  for (const nlohmann::json& condition : golden.json.at("conditions")) {
    const std::string text = condition;
    if (std::regex_search(text, match, std::regex(R"(param\.\* of (\S+)\.safetensors)")))
      return testing::load_golden(path.parent_path() / match[1].str());
  }
  return golden;
}

/// Twice the largest error that a regime of the reference has.
struct Allowed {
  double output = 0, gradient = 0;
};
Allowed allowed_by(const nlohmann::json& regimes) {
  Allowed allowed;
  for (const nlohmann::json& regime : regimes) {
    if (!regime.contains("output")) continue;
    allowed.output =
        std::max(allowed.output, 2 * regime.at("output").at("rel_frobenius").get<double>());
    allowed.gradient = std::max(allowed.gradient,
                                2 * regime.at("worst_gradient_rel_frobenius").at(1).get<double>());
  }
  return allowed;
}

TEST_CASE("Flux in bfloat16 is no further from float32 than twice the reference's bfloat16",
          "[golden]") {
  const auto cases = testing::golden_cases("flux");
  int count = 0;
  for (const auto& path : cases) {
    const GoldenCase golden = testing::load_golden(path);
    if (!golden.contains("truth.output.img")) continue;
    ++count;
    const auto weights = testing::flux_weights(weights_case(golden, path));
    const Allowed allowed = allowed_by(golden.json.at("error_against_fp32"));
    REQUIRE(allowed.output > 0);
    const testing::FluxResult truth = testing::run_flux(golden, weights, at::kFloat);
    REQUIRE(testing::relative_norm(truth.output, golden.at("truth.output.img")) < 2e-5);
    for (const auto& [name, backend] : testing::backends()) {
      INFO(path << " " << name);
      ops::set_backend(backend);
      ErrorReport report(golden.name + " (" + name + ")");
      const testing::FluxResult result = testing::run_flux(golden, weights, at::kBFloat16);
      ops::set_backend(ops::Backend::kFused);
      REQUIRE(result.output.scalar_type() == at::kBFloat16);
      report.add("output", "img",
                 testing::relative_norm(result.output, golden.at("truth.output.img")));
      for (const auto& [parameter, gradient] : result.gradients) {
        report.add("gradient", parameter,
                   testing::relative_norm(gradient, truth.gradients.at(parameter)));
      }
      REQUIRE(report.largest("output") <= allowed.output);
      REQUIRE(report.largest("gradient") <= allowed.gradient);
    }
  }
  if (count == 0) TITAN_SKIP(testing::kNoGolden);
}

}  // namespace
}  // namespace titan
