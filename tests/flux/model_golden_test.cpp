// Forward, loss and every gradient of the whole model against the reference, both backends; counts
// of parameters and of FLOPs.
#include "tests/support/catch.h"

#include "titan/metrics/flops.h"
#include "titan/models/flux/flops.h"

#include "tests/flux/flux_testing.h"

namespace titan {
namespace {

using testing::ErrorReport;
using testing::GoldenCase;

/// Cases of the whole model in float32: those with a grid, a packed output and its loss.
std::vector<GoldenCase> model_cases() {
  std::vector<GoldenCase> cases;
  for (const auto& path : testing::golden_cases("flux")) {
    GoldenCase golden = testing::load_golden(path);
    if (golden.contains("output.img") && golden.contains("output.loss") &&
        golden.json.contains("patch_grid"))
      cases.push_back(std::move(golden));
  }
  return cases;
}

struct Tolerance {
  double output, gradient;
};
/// Ten times what the reference in float32 is away from float64; guidance is an argument of the
/// sinusoid several times larger than the time, and wide heads add longer sums.
Tolerance tolerance_of(const models::FluxConfig& config) {
  if (config.guidance_embed) return {1e-4, 5e-4};
  if (config.head_dim() >= 128) return {4e-5, 2e-4};
  return {2e-5, 1e-4};
}

/// A large gradient's digest: 64 leading entries, then 64 spread over the tensor.
at::Tensor sample_of(const at::Tensor& gradient) {
  const at::Tensor flat = gradient.reshape({-1});
  const at::Tensor spread = flat.index_select(0, at::arange(64, at::kLong) * (flat.numel() / 64));
  return at::cat({flat.narrow(0, 0, 64), spread});
}

void run_case(const GoldenCase& golden, const std::string& backend) {
  const models::FluxConfig config = testing::flux_config(golden.json);
  REQUIRE(models::validate(config).ok());
  ErrorReport report(golden.name + " (" + backend + ")");
  const testing::FluxResult result =
      testing::run_flux(golden, testing::flux_weights(golden), at::kFloat);
  report.add("output", "img", testing::relative_norm(result.output, golden.at("output.img")));
  report.add("loss", "loss", result.loss.reshape({1}), golden.at("output.loss"));
  const auto full = golden.with_prefix("grad."), norms = golden.with_prefix("gradnorm."),
             samples = golden.with_prefix("gradsample.");
  REQUIRE(full.size() + norms.size() == result.gradients.size());
  for (const auto& [name, gradient] : result.gradients) {
    INFO(name);
    REQUIRE(gradient.defined());
    if (const auto found = full.find(name); found != full.end()) {
      report.add("gradient", name, testing::relative_norm(gradient, found->second));
      continue;
    }
    report.add("gradient norm", name, gradient.to(at::kDouble).norm().reshape({1}),
               norms.at(name).reshape({1}));
    report.add("gradient sample", name,
               testing::relative_norm(sample_of(gradient), samples.at(name)));
  }
  const Tolerance tolerance = tolerance_of(config);
  REQUIRE(report.largest("output") < tolerance.output);
  REQUIRE(report.largest("loss") < tolerance.output);
  for (const char* group : {"gradient", "gradient norm", "gradient sample"})
    REQUIRE(report.largest(group) < tolerance.gradient);
}

TEST_CASE("Flux agrees with the reference in forward, loss and all gradients", "[golden]") {
  const std::vector<GoldenCase> cases = model_cases();
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const GoldenCase& golden : cases) {
    for (const auto& [name, backend] : testing::backends()) {
      INFO(golden.name << " " << name);
      ops::set_backend(backend);
      run_case(golden, name);
    }
    ops::set_backend(ops::Backend::kFused);
  }
}

/// A row of the table of FLOPs: "schnell" and "dev" are flavors.
models::FluxConfig flavor_of(const nlohmann::json& row) {
  const StatusOr<models::FluxConfig> config =
      models::flux_flavor(row.at("flavor").get<std::string>());
  REQUIRE(config.ok());
  return *config;
}

TEST_CASE("Flux's flavors have the published numbers of parameters and FLOPs", "[golden]") {
  const auto cases = testing::golden_cases("flux", "flops");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const GoldenCase golden = testing::load_golden(path);
    REQUIRE(!golden.json.at("shapes").empty());
    for (const nlohmann::json& row : golden.json.at("shapes")) {
      const models::FluxConfig config = flavor_of(row);
      const int64_t image = row.at("image_tokens"), text = row.at("text_tokens");
      INFO(row.at("flavor") << ", " << image << " + " << text << " tokens");
      const models::ParameterCount count = models::parameter_count(config);
      REQUIRE(count.numbers == row.at("parameters").get<int64_t>());
      REQUIRE(count.tensors == row.at("parameter_tensors").get<int64_t>());
      const int64_t forward = models::flux_flops(config, image, text).forward();
      REQUIRE(forward == row.at("formula_forward").get<int64_t>());
      REQUIRE(3 * forward == row.at("formula_train").get<int64_t>());
      REQUIRE(models::flux_train_flops_executed(config, image, text) ==
              row.at("counter_forward_backward").get<int64_t>());
    }
  }
}

/// Counted FLOPs of one sample on the meta device: the whole model in full size, without memory.
metrics::CountedFlops counted_on_meta(const models::FluxConfig& config, int64_t image_tokens,
                                      int64_t text_tokens, bool with_backward) {
  const auto meta = at::TensorOptions().device(at::kMeta);
  models::Flux model(config, meta);
  // Positions do not matter on the meta device, so any grid of that many tokens will do.
  const at::Tensor x_t = at::empty({1, config.latent_channels(), 2, 2 * image_tokens}, meta);
  Conditioning condition;
  condition.set("txt", at::empty({1, text_tokens, config.context_in_dim}, meta));
  condition.set("y", at::empty({1, config.vec_in_dim}, meta));
  condition.set("guidance", at::empty({1}, meta));
  const at::Tensor t = at::empty({1}, meta);
  const metrics::FlopCounter counter;
  BlockState state = model.embed(x_t, t, condition);
  for (const auto& block : model.blocks()) state = block->forward(state);
  const at::Tensor loss = model.head(state, x_t.sizes()).square().mean();
  if (with_backward) loss.backward();
  return counter.counted();
}

TEST_CASE("counting Flux's operations gives the reference's count", "[golden]") {
  const auto cases = testing::golden_cases("flux", "flops");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  ops::set_backend(ops::Backend::kReference);  // plain ATen runs on the meta device
  for (const auto& path : cases) {
    const GoldenCase golden = testing::load_golden(path);
    for (const nlohmann::json& row : golden.json.at("shapes")) {
      const models::FluxConfig config = flavor_of(row);
      const int64_t image = row.at("image_tokens"), text = row.at("text_tokens");
      INFO(row.at("flavor") << ", " << image << " + " << text << " tokens");
      REQUIRE(counted_on_meta(config, image, text, /*with_backward=*/false).model ==
              row.at("counter_forward").get<int64_t>());
      REQUIRE(counted_on_meta(config, image, text, /*with_backward=*/true).model ==
              row.at("counter_forward_backward").get<int64_t>());
    }
  }
  ops::set_backend(ops::Backend::kFused);
}

}  // namespace
}  // namespace titan
