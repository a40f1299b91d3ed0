// Every building block alone: forward, and gradients of sum(output * grad_output), both backends.
#include "tests/support/catch.h"

#include "titan/models/layers/rope_table.h"
#include "titan/ops/residual.h"
#include "titan/ops/rope.h"

#include "tests/dit/dit_testing.h"

namespace titan {
namespace {

using testing::ErrorReport;
using testing::GoldenCase;
using Inputs = std::map<std::string, at::Tensor>;

/// One golden file and what its blocks share.
class Blocks {
 public:
  Blocks(const GoldenCase& golden, const std::string& backend)
      : golden_(golden),
        report_(golden.name + " (" + backend + ")"),
        config_(block_config(golden)) {
    const nlohmann::json& json = golden.json.at("config");
    rows_ = json.at("grid_rows");
    columns_ = json.at("grid_cols");
    kv_heads_gqa_ = json.at("n_kv_heads_gqa");
    rope_ =
        models::rope_table_2d(rows_, columns_, config_.head_dim(), config_.rope_theta, at::kCPU);
  }

  void check_all() {
    check_tables();
    check_embeddings();
    check_layers();
    check_blocks();
    REQUIRE(report_.largest("block") < 5e-6);
    REQUIRE(report_.largest("sinusoid_x1000") < 1e-4);
    REQUIRE(report_.largest("exact") == 0.0);
  }

 private:
  static models::DitConfig block_config(const GoldenCase& golden) {
    models::DitConfig config = testing::dit_config(golden.json.at("config"));
    config.num_classes = golden.at("param.y_embedder.embedding_table.weight").size(0) - 1;
    config.in_channels = golden.at("param.x_embedder.proj.weight").size(1);
    config.patch_size = golden.at("param.x_embedder.proj.weight").size(2);
    return config;
  }

  at::Tensor input(const std::string& name) { return golden_.at("input." + name).clone(); }
  at::Tensor leaf(const std::string& name) { return input(name).requires_grad_(true); }

  /// Output and gradients of block `name`; module parameters have their golden values already.
  void check(const std::string& name, const at::Tensor& out, const Inputs& leaves,
             const torch::nn::Module* module) {
    report_.add("block", name, out, golden_.at("output." + name));
    (out * input(name + ".grad_output")).sum().backward();
    Inputs all = leaves;
    if (module != nullptr) {
      for (const auto& entry : module->named_parameters()) all[entry.key()] = entry.value();
    }
    REQUIRE(all.size() == golden_.with_prefix("grad." + name + ".").size());
    for (const auto& [key, tensor] : all) {
      report_.add("block", name + "." + key, tensor.grad(), golden_.at("grad." + name + "." + key));
    }
  }

  template <class Module, class... Args>
  std::shared_ptr<Module> loaded(const std::string& name, const Args&... args) {
    const auto module = std::make_shared<Module>(args..., at::TensorOptions());
    testing::load_parameters(*module, golden_.with_prefix("param." + name + "."));
    return module;
  }

  void check_tables() {
    report_.add("block", "sinusoid",
                models::time_sinusoid(input("sinusoid.t"), models::TimeEmbedding::kWidth),
                golden_.at("output.sinusoid"));
    report_.add("sinusoid_x1000", "sinusoid_x1000",
                models::time_sinusoid(input("sinusoid.t") * 1000, models::TimeEmbedding::kWidth),
                golden_.at("output.sinusoid_x1000"));
    report_.add("block", "rope_table", rope_, golden_.at("output.rope_table"));
    const at::Tensor q = leaf("rope.q"), k = leaf("rope.k");
    check("rope", at::stack({ops::rope(q, rope_), ops::rope(k, rope_)}), {{"q", q}, {"k", k}},
          nullptr);
    report_.add("exact", "unpatchify",
                models::unpatchify(input("unpatchify.tokens"), rows_, columns_, config_.patch_size),
                golden_.at("output.unpatchify"));
  }

  void check_embeddings() {
    const at::Tensor t = leaf("t_embedder.t");
    const auto time = loaded<models::TimeEmbedding>("t_embedder", config_.dim, 1.0);
    check("t_embedder", time->forward(t), {{"t", t}}, time.get());
    const at::Tensor x = leaf("x_embedder.x");
    const auto patches = loaded<models::PatchEmbedding>("x_embedder", config_.in_channels,
                                                        config_.dim, config_.patch_size);
    check("x_embedder", patches->forward(x), {{"x", x}}, patches.get());
    const at::Tensor labels = input("y_embedder.labels");
    const at::Tensor kept = at::where(input("y_embedder.force_drop_ids") == 1,
                                      at::full_like(labels, config_.num_classes), labels);
    const auto classes =
        loaded<models::ClassEmbedding>("y_embedder", config_.num_classes, config_.dim);
    check("y_embedder", classes->forward(kept), {}, classes.get());
  }

  void check_layers() {
    for (const std::string type : {"layernorm", "np_layernorm", "np_layernorm_bias", "rmsnorm"}) {
      const std::string name = "norm_" + std::string(type);
      const at::Tensor x = leaf(name + ".x");
      const auto norm = loaded<models::NormLayer>(name, type, config_.dim, config_.norm_eps);
      check(name, ops::modulate_norm(x, norm->norm()), {{"x", x}}, norm.get());
    }
    const at::Tensor x = leaf("feed_forward.x");
    const auto feed_forward =
        loaded<models::FeedForward>("feed_forward", config_.dim, config_.ffn_hidden());
    check("feed_forward", feed_forward->forward(x), {{"x", x}}, feed_forward.get());
    for (const auto& [name, kv_heads] :
         {std::pair<std::string, int64_t>{"attention", config_.n_heads},
          std::pair<std::string, int64_t>{"attention_gqa", kv_heads_gqa_}}) {
      const at::Tensor in = leaf(name + ".x");
      const auto attention =
          loaded<models::SelfAttention>(name, config_.dim, config_.n_heads, kv_heads);
      check(name, attention->forward(in, rope_), {{"x", in}}, attention.get());
    }
    const at::Tensor last = leaf("final_layer.x");
    models::Container layer;
    const auto norm = layer.register_module(
        "norm", std::make_shared<models::NormLayer>(config_.norm_type, config_.dim,
                                                    config_.norm_eps, at::TensorOptions()));
    const auto output = layer.register_module(
        "output",
        std::make_shared<models::Linear>(config_.dim, golden_.at("output.final_layer").size(-1),
                                         models::Linear::Bias::kYes, at::TensorOptions()));
    testing::load_parameters(layer, golden_.with_prefix("param.final_layer."));
    check("final_layer", output->forward(ops::modulate_norm(last, norm->norm())), {{"x", last}},
          &layer);
  }

  void check_blocks() {
    for (const std::string name : {"block_adaln", "block_context_corrected"}) {
      models::DitConfig config = config_;
      BlockState state;
      state.x = leaf(std::string(name) + ".x");
      Inputs leaves = {{"x", state.x}};
      state.rope = rope_;
      if (golden_.contains("input." + std::string(name) + ".c")) {
        state.cond = leaf(std::string(name) + ".c");
        leaves["c"] = state.cond;
      } else {
        config.condition_mode = "context";
        state.rope = models::append_unrotated(rope_, state.x.size(1) - rope_.size(0));
      }
      const auto block = loaded<models::DitBlock>(name, config);
      const BlockState out = block->forward(state);
      check(name, ops::gated_residual(out.x, out.open.branch, out.open.gate), leaves, block.get());
    }
  }

  const GoldenCase& golden_;
  ErrorReport report_;
  models::DitConfig config_;
  int64_t rows_ = 0, columns_ = 0, kv_heads_gqa_ = 0;
  at::Tensor rope_;
};

TEST_CASE("every building block of the DiT agrees with PyTorch, gradients included", "[golden]") {
  const auto cases = testing::golden_cases("dit", "blocks");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const GoldenCase golden = testing::load_golden(path);
    for (const auto& [name, backend] : testing::backends()) {
      INFO(path << " " << name);
      ops::set_backend(backend);
      Blocks(golden, name).check_all();
    }
    ops::set_backend(ops::Backend::kFused);
  }
}

}  // namespace
}  // namespace titan
