#include "tests/support/catch.h"

#include "tests/flux/flux_testing.h"

#include <regex>

#include "titan/models/flux/latents.h"

namespace titan::testing {

double eps_of(const nlohmann::json& json, const std::string& name, double missing) {
  const std::regex pattern(name + R"(\D.*?([0-9.]+e-[0-9]+))");
  std::smatch match;
  if (!json.contains("conditions")) return missing;
  for (const nlohmann::json& condition : json.at("conditions")) {
    const std::string text = condition;
    if (std::regex_search(text, match, pattern)) return std::stod(match[1]);
  }
  return missing;
}

models::FluxConfig flux_config(const nlohmann::json& json) {
  const nlohmann::json& from = json.at("config");
  models::FluxConfig config;
  config.in_channels = from.at("in_channels");
  config.out_channels = from.value("out_channels", int64_t{0});
  config.vec_in_dim = from.at("vec_in_dim");
  config.context_in_dim = from.at("context_in_dim");
  config.hidden_size = from.at("hidden_size");
  config.mlp_ratio = from.at("mlp_ratio");
  config.num_heads = from.at("num_heads");
  config.depth = from.at("depth");
  config.depth_single_blocks = from.at("depth_single_blocks");
  config.axes_dim = from.at("axes_dim").get<std::vector<int64_t>>();
  config.theta = from.at("theta");
  config.qkv_bias = from.at("qkv_bias");
  config.guidance_embed = from.value("guidance_embed", false);
  config.norm_eps = eps_of(json, "LayerNorm eps", config.norm_eps);
  config.qk_norm_eps = eps_of(json, "QK RMSNorm eps", config.qk_norm_eps);
  return config;
}

std::map<std::string, at::Tensor> flux_weights(const GoldenCase& golden) {
  std::map<std::string, at::Tensor> weights = golden.with_prefix("param.");
  if (!weights.empty()) return weights;
  const std::string prefix = golden.json.value("fill_prefix", "");
  for (const nlohmann::json& entry : golden.json.at("parameters")) {
    const std::string name = entry.at("key");
    weights[name] = fill(prefix + name, entry.at("dims").get<std::vector<int64_t>>(),
                         entry.at("amp"), entry.at("base"));
  }
  return weights;
}

double relative_norm(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined() || a.sizes() != b.sizes()) return INFINITY;
  const at::Tensor expected = b.detach().to(at::kDouble);
  const at::Tensor difference = (a.detach().to(at::kDouble) - expected).norm();
  const double norm = expected.norm().item<double>();
  const double error = difference.item<double>() / (norm > 0 ? norm : 1.0);
  return std::isfinite(error) ? error : INFINITY;
}

FluxResult run_flux(const GoldenCase& golden, const std::map<std::string, at::Tensor>& weights,
                    at::ScalarType dtype) {
  const auto model =
      std::make_shared<models::Flux>(flux_config(golden.json), at::TensorOptions().dtype(dtype));
  load_parameters(*model, weights);
  const auto grid = golden.json.at("patch_grid").get<std::vector<int64_t>>();
  const auto leaf = [&](const std::string& name) {
    return golden.at("input." + name).clone().requires_grad_(true);
  };
  const at::Tensor x_t =
      models::unpack_latents(golden.at("input.img"), grid[0], grid[1]).clone().requires_grad_(true);
  const at::Tensor txt = leaf("txt"), y = leaf("y");
  Conditioning condition;
  condition.set("txt", txt);
  condition.set("y", y);
  if (golden.contains("input.guidance")) condition.set("guidance", golden.at("input.guidance"));

  BlockState state = model->embed(x_t, golden.at("input.timesteps"), condition);
  for (const std::shared_ptr<Block>& block : model->blocks()) state = block->forward(state);
  const at::Tensor output = models::pack_latents(model->head(state, x_t.sizes()));
  const at::Tensor loss =
      at::mse_loss(output.to(at::kFloat), golden.at("input.target").to(at::kFloat));
  loss.backward();

  FluxResult result{output.detach(), loss.detach(), {}};
  for (const auto& entry : model->named_parameters())
    result.gradients[entry.key()] = entry.value().grad();
  result.gradients["input.img"] = models::pack_latents(x_t.grad());
  result.gradients["input.txt"] = txt.grad();
  result.gradients["input.y"] = y.grad();
  return result;
}

}  // namespace titan::testing
