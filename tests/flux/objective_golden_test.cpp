// The training objective against the reference's own train step: what the model sees, what it says,
// loss and gradients.
#include "tests/support/catch.h"

#include "titan/models/flux/objective.h"

#include <cmath>

#include "titan/models/flux/latents.h"
#include "titan/protocols/block_runner.h"

#include "tests/flux/flux_testing.h"

namespace titan {
namespace {

using testing::ErrorReport;
using testing::GoldenCase;

/// Largest difference in units of the last place of a bfloat16 of `expected`'s size.
double bf16_ulps(const at::Tensor& actual, const at::Tensor& expected) {
  const at::Tensor a = actual.to(at::kDouble), b = expected.to(at::kDouble);
  const at::Tensor exponent = b.abs().clamp_min(1e-30).log2().floor();
  const at::Tensor ulp = at::pow(2.0, exponent - 7);
  return ((a - b).abs() / ulp).max().item<double>();
}

struct Elementwise {
  at::Tensor z, latents, noised, target;
};
Elementwise elementwise(const GoldenCase& golden, at::ScalarType dtype) {
  const auto input = [&](const char* name) {
    return golden.at(std::string("input.") + name).to(dtype);
  };
  const models::LatentScaling scaling{golden.json.at("shift"), golden.json.at("scale")};
  Elementwise result;
  result.z = models::posterior_sample(input("mean"), input("logvar"), input("eps"));
  result.latents = models::scale_latents(result.z, scaling);
  const TrainingExample example =
      models::FluxObjective::mix(result.latents, input("noise"), input("timesteps"));
  result.noised = example.x_t;
  result.target = example.target;
  return result;
}

struct NoteNorms : RunnerHooks {
  explicit NoteNorms(const Model& model) : units(split_into_units(model)) {}
  void gradients_ready(std::size_t unit, const std::vector<at::Tensor>& gradients) override {
    for (std::size_t i = 0; i < gradients.size(); ++i)
      norms[units[unit].parameter_names[i]] = gradients[i].to(at::kDouble).norm().view({1});
  }
  std::vector<ModelUnit> units;
  std::map<std::string, at::Tensor> norms;
};

void check_model_part(const GoldenCase& golden, const GoldenCase& tiny, ErrorReport& report) {
  const auto model = std::make_shared<models::Flux>(testing::flux_config(golden.json));
  testing::load_parameters(*model, testing::flux_weights(tiny));
  NoteNorms hooks(*model);
  const auto runner = make_runner(model, &hooks);

  models::FluxObjective objective({.scaling = {golden.json.at("shift"), golden.json.at("scale")}},
                                  0);
  const Elementwise parts = elementwise(golden, at::kFloat);
  TrainingExample example = models::FluxObjective::mix(parts.latents, golden.at("input.noise"),
                                                       golden.at("input.timesteps"));
  const models::TextEncoding text = models::drop_text(
      {golden.at("input.t5_encodings"), golden.at("input.clip_encodings")},
      {golden.at("input.empty_t5"), golden.at("input.empty_clip")}, golden.at("input.drop") == 1);
  REQUIRE(torch::equal(text.t5, golden.at("output.txt")));
  REQUIRE(torch::equal(text.clip, golden.at("output.y")));
  example.condition.set("txt", text.t5);
  example.condition.set("y", text.clip);

  const at::Tensor loss = runner->forward_backward(
      example.x_t, example.t, example.condition, [&](const at::Tensor& prediction) {
        report.add("prediction", "pred",
                   testing::relative_norm(prediction, golden.at("output.pred")));
        const at::Tensor losses = objective.loss(prediction, example);
        report.add("loss", "per sample",
                   testing::relative_norm(losses, golden.at("output.loss_per_sample")));
        return losses.mean();
      });
  report.add("loss", "loss", testing::relative_norm(loss.view({1}), golden.at("output.loss")));
  double squares = 0;
  const auto expected = golden.with_prefix("gradnorm.");
  REQUIRE(hooks.norms.size() == expected.size());
  for (const auto& [name, norm] : expected) {
    report.add("gradient norms", name, testing::relative_norm(hooks.norms.at(name), norm));
    squares += std::pow(hooks.norms.at(name).item<double>(), 2);
  }
  const double total = golden.at("output.grad_norm").item<double>();
  report.add("gradient norms", "total", std::abs(std::sqrt(squares) - total) / total);
}

TEST_CASE("the Flux objective agrees with the reference's train step", "[golden]") {
  const auto cases = testing::golden_cases("flux", "objective");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    INFO(path);
    const GoldenCase golden = testing::load_golden(path);
    ErrorReport report(golden.name);
    const Elementwise parts = elementwise(golden, at::kFloat);
    const auto compare = [&](const char* name, const at::Tensor& actual) {
      report.add("model input", name,
                 testing::relative_norm(actual, golden.at(std::string("output.") + name)));
    };
    compare("z", parts.z);
    compare("latents", parts.latents);
    compare("noised", parts.noised);
    compare("target", parts.target);
    compare("packed", models::pack_latents(parts.noised));
    REQUIRE(report.largest("model input") < 1e-6);

    const Elementwise rounded = elementwise(golden, at::kBFloat16);
    const auto ulps = [&](const char* name, const at::Tensor& actual) {
      const at::Tensor& expected = golden.at(std::string("output.bf16.") + name);
      report.add("bf16 ulps", name, bf16_ulps(actual, expected));
      REQUIRE(actual.ne(expected).to(at::kDouble).mean().item<double>() < 0.01);
    };
    ulps("z", rounded.z);
    ulps("latents", rounded.latents);
    ulps("noised", rounded.noised);
    ulps("target", rounded.target);
    REQUIRE(report.largest("bf16 ulps") <= 1);

    check_model_part(golden, testing::load_golden(path.parent_path() / "tiny"), report);
    REQUIRE(report.largest("prediction") < 4e-5);
    REQUIRE(report.largest("loss") < 4e-5);
    REQUIRE(report.largest("gradient norms") < 4e-5);
  }
}

}  // namespace
}  // namespace titan
