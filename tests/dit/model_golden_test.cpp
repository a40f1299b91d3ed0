// Forward, loss and every gradient of the whole model against PyTorch, both backends.
#include "tests/support/catch.h"

#include "titan/models/dit/flops.h"
#include "titan/ops/residual.h"

#include "tests/dit/dit_testing.h"

namespace titan {
namespace {

using testing::ErrorReport;
using testing::GoldenCase;

/// Labels after the given dropping: 1 = the null class.
at::Tensor dropped_labels(const GoldenCase& golden, int64_t num_classes) {
  const at::Tensor labels = golden.at("input.class_idx");
  return at::where(golden.at("input.force_drop_ids") == 1, at::full_like(labels, num_classes),
                   labels);
}

void run_case(const GoldenCase& golden, const std::string& backend) {
  const models::DitConfig config = testing::dit_config(golden.json.at("config"));
  models::Dit model(config);
  testing::load_parameters(model, golden.with_prefix("param."));
  ErrorReport report(golden.name + " (" + backend + ")");

  const at::Tensor noise = golden.at("input.noise"), x1 = golden.at("input.x1"),
                   t = golden.at("input.t");
  const at::Tensor x_t = noise + t.view({-1, 1, 1, 1}) * (x1 - noise);
  report.add("output", "x_t", x_t, golden.at("output.x_t"));
  Conditioning condition;
  condition.set("label", dropped_labels(golden, config.num_classes));

  BlockState state = model.embed(x_t, t, condition);
  const int64_t patches = golden.at("output.patch_tokens").size(1);
  report.add("output", "patch_tokens", state.x.narrow(1, 0, patches),
             golden.at("output.patch_tokens"));
  report.add("output", "freqs_cis", state.rope.narrow(0, 0, patches),
             golden.at("output.freqs_cis"));
  if (config.adaln()) {
    report.add("output", "cond", state.cond, golden.at("output.t_emb") + golden.at("output.y_emb"));
  } else {
    report.add("output", "t_emb", state.x.select(1, patches), golden.at("output.t_emb"));
    report.add("output", "y_emb", state.x.select(1, patches + 1), golden.at("output.y_emb"));
  }
  int64_t layer = 0;
  for (const std::shared_ptr<Block>& block : model.blocks()) {
    state = block->forward(state);
    const std::string name = "layers." + std::to_string(layer++);
    report.add("output", name, ops::gated_residual(state.x, state.open.branch, state.open.gate),
               golden.at("output." + name));
  }
  const at::Tensor pred = model.head(state, x_t.sizes());
  report.add("output", "pred", pred, golden.at("output.pred"));
  const at::Tensor loss = (pred - (x1 - noise)).square().mean();
  report.add("loss", "loss", loss, golden.at("output.loss"));
  loss.backward();
  for (const auto& entry : model.named_parameters()) {
    REQUIRE(entry.value().grad().defined());
    report.add("gradient", entry.key(), entry.value().grad(), golden.at("grad." + entry.key()));
  }
  REQUIRE(golden.with_prefix("grad.").size() == model.named_parameters().size());

  REQUIRE(report.largest("output") < 2e-6);
  REQUIRE(report.largest("loss") < 1e-6);
  REQUIRE(report.largest("gradient") < 1e-5);
}

TEST_CASE("DiT agrees with PyTorch in forward, loss and all gradients", "[golden]") {
  const auto cases = testing::golden_cases("dit", "dit_");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const GoldenCase golden = testing::load_golden(path);
    for (const auto& [name, backend] : testing::backends()) {
      INFO(path << " " << name);
      ops::set_backend(backend);
      run_case(golden, name);
    }
    ops::set_backend(ops::Backend::kFused);
  }
}

TEST_CASE("DiT's parameters have the published names, shapes and number", "[golden]") {
  const auto cases = testing::golden_cases("dit", "dit_");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const nlohmann::json json = testing::load_golden(path).json;
    const models::DitConfig config = testing::dit_config(json.at("config"));
    const models::Dit model(config, at::TensorOptions().device(at::kMeta));
    std::map<std::string, std::vector<int64_t>> ours, published;
    for (const auto& entry : model.named_parameters())
      ours[entry.key()] = entry.value().sizes().vec();
    const auto size = json.at("config").at("image_size").get<std::vector<int64_t>>();
    ours["freqs_cis"] = models::published_freqs_cis(config, size[0], size[1]).sizes().vec();
    for (const nlohmann::json& entry : json.at("state_dict")) {
      published[entry.at("name")] = entry.at("shape").get<std::vector<int64_t>>();
    }
    REQUIRE(ours == published);
    REQUIRE(models::parameter_count(config) == json.at("parameter_count").get<int64_t>());
  }
}

TEST_CASE("DiT's flavors have the published parameter counts and FLOPs", "[golden]") {
  const auto cases = testing::golden_cases("dit", "flavors");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const nlohmann::json json = testing::load_golden(path).json;
    REQUIRE(!json.at("flavors").empty());
    for (const nlohmann::json& row : json.at("flavors")) {
      const std::string label = row.at("flavor");
      StatusOr<models::DitConfig> config = models::dit_flavor(label.substr(0, label.find(' ')));
      INFO(label << " patch " << row.at("patch_size") << " image " << row.at("image_size"));
      REQUIRE(config.ok());
      config->patch_size = row.at("patch_size");
      config->in_channels = row.at("input_channels");
      config->num_classes = row.at("num_classes");
      config->condition_mode = row.at("condition_mode");
      config->norm_type = row.at("norm_type");
      REQUIRE(config->dim == row.at("dim").get<int64_t>());
      REQUIRE(config->n_layers == row.at("n_layers").get<int64_t>());
      REQUIRE(config->n_heads == row.at("n_heads").get<int64_t>());
      REQUIRE(config->ffn_hidden() == row.at("ffn_hidden").get<int64_t>());
      REQUIRE(models::parameter_count(*config) == row.at("parameters").get<int64_t>());

      const auto size = row.at("image_size").get<std::vector<int64_t>>();
      const models::DitFlops flops = models::dit_flops(*config, size[0], size[1]);
      const nlohmann::json& parts = row.at("forward_parts");
      REQUIRE(flops.block_linears == parts.at("block_linears").get<int64_t>());
      REQUIRE(flops.patch_embedding == parts.at("patch_embedding").get<int64_t>());
      REQUIRE(flops.output == parts.at("output").get<int64_t>());
      REQUIRE(flops.adaln == parts.at("adaln").get<int64_t>());
      REQUIRE(flops.time_mlp == parts.at("time_mlp").get<int64_t>());
      REQUIRE(flops.attention == parts.at("attention").get<int64_t>());
      REQUIRE(flops.forward() == row.at("forward_flops_per_sample").get<int64_t>());
      REQUIRE(models::model_flops(flops).train == row.at("train_flops_per_sample").get<int64_t>());
    }
  }
}

}  // namespace
}  // namespace titan
