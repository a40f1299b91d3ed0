// The Euler sampler over the whole model against PyTorch: every prediction and every state.
#include "tests/support/catch.h"

#include "titan/models/samplers/euler.h"

#include "tests/dit/dit_testing.h"

namespace titan {
namespace {

using testing::ErrorReport;
using testing::GoldenCase;

Conditioning sampled_labels(const at::Tensor& ids) {
  Conditioning condition;
  condition.set("label", ids);
  return condition;
}

at::Tensor predict(models::Dit& model, const at::Tensor& x, const at::Tensor& t,
                   const Conditioning& condition) {
  BlockState state = model.embed(x, t, condition);
  for (const std::shared_ptr<Block>& block : model.blocks()) state = block->forward(state);
  return model.head(state, x.sizes());
}

/// Samples with one guidance scale and compares; returns the samples.
at::Tensor run_scale(const GoldenCase& golden, models::Dit& model, const std::string& scale,
                     ErrorReport& report) {
  const int64_t null_class = model.config().num_classes;
  const at::Tensor ids = golden.at("input.class_idx"), noise = golden.at("input.noise");
  const std::string prefix = "output.cfg_" + scale + ".";
  int64_t conditional_calls = 0, null_calls = 0;
  const DenoiseFunction denoise = [&](const at::Tensor& x, const at::Tensor& t,
                                      const Conditioning& condition) {
    const at::Tensor prediction = predict(model, x, t, condition);
    const bool is_null = condition.get("label").eq(null_class).all().item<bool>();
    int64_t& step = is_null ? null_calls : conditional_calls;
    const std::string name = is_null ? "v_null" : "v_class";
    report.add("predictions", name, prediction, golden.at(prefix + name)[step]);
    report.add("times", "t", t, golden.at("output.times")[step].expand_as(t));
    ++step;
    return prediction;
  };
  const SamplerOptions options{.steps = golden.json.at("config").at("steps").get<int64_t>(),
                               .guidance = std::stod(scale)};
  const at::Tensor& states = golden.at(prefix + "z");
  REQUIRE(torch::equal(states[0], noise));
  const at::Tensor x = samplers::EulerSampler({}).sample(
      denoise, noise, sampled_labels(ids), sampled_labels(at::full_like(ids, null_class)), options,
      [&](int64_t step, const at::Tensor& state) {
        report.add("states", "z", state, states[step + 1]);
      });
  REQUIRE(conditional_calls == options.steps);
  REQUIRE(null_calls == (options.guidance == 1.0 ? 0 : options.steps));
  return x;
}

TEST_CASE("the Euler sampler agrees with PyTorch in every state and prediction", "[golden]") {
  const auto cases = testing::golden_cases("dit", "sampler");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const GoldenCase golden = testing::load_golden(path);
    models::Dit model(testing::dit_config(golden.json.at("config")));
    testing::load_parameters(model, golden.with_prefix("param."));
    ErrorReport report(golden.name);
    std::vector<at::Tensor> columns;
    for (const nlohmann::json& scale : golden.json.at("config").at("scales")) {
      char text[32];
      std::snprintf(text, sizeof text, "%g", scale.get<double>());
      columns.push_back(run_scale(golden, model, text, report));
    }
    report.add("states", "combined", at::cat(columns, -1), golden.at("output.combined"));
    REQUIRE(report.largest("states") < 1e-5);
    REQUIRE(report.largest("predictions") < 1e-5);
    REQUIRE(report.largest("times") < 1e-7);
  }
}

}  // namespace
}  // namespace titan
