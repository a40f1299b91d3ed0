// Every part of Flux alone: outputs, and gradients of the sum of output * cotangent, both backends.
#include "tests/support/catch.h"

#include <functional>

#include "titan/models/flux/head.h"
#include "titan/models/layers/embeddings.h"
#include "titan/models/layers/rope_table.h"
#include "titan/ops/attention.h"
#include "titan/ops/rope.h"
#include "titan/ops/stream_attention.h"

#include "tests/flux/flux_testing.h"

namespace titan {
namespace {

using testing::ErrorReport;
using testing::GoldenCase;
using Tensors = std::map<std::string, at::Tensor>;

constexpr double kTolerance = 1e-5;

models::FluxConfig block_config(const GoldenCase& golden) {
  const nlohmann::json& json = golden.json.at("config");
  models::FluxConfig config;
  config.hidden_size = json.at("h");
  config.num_heads = json.at("H");
  config.axes_dim = json.at("axes").get<std::vector<int64_t>>();
  config.mlp_ratio = json.at("mlp");
  config.theta = json.at("theta");
  config.norm_eps = testing::eps_of(golden.json, "LayerNorm eps", config.norm_eps);
  config.qk_norm_eps = testing::eps_of(golden.json, "QK RMSNorm eps", config.qk_norm_eps);
  return config;
}

/// One case in one backend: leaves of its inputs, and the comparison.
class Part {
 public:
  Part(const GoldenCase& golden, const std::string& backend)
      : golden_(golden), report_(golden.name + " (" + backend + ")") {}

  /// The input, as a leaf whose gradient is compared.
  at::Tensor leaf(const std::string& name) {
    leaves_[name] = golden_.at("input." + name).clone().requires_grad_(true);
    return leaves_[name];
  }
  template <class Module>
  std::shared_ptr<Module> load(std::shared_ptr<Module> module) {
    testing::load_parameters(*module, golden_.with_prefix("param."));
    for (const auto& entry : module->named_parameters()) parameters_[entry.key()] = entry.value();
    return module;
  }

  /// Compares outputs; then backward, and all gradients.
  void check(const Tensors& outputs) {
    at::Tensor total = at::zeros({});
    for (const auto& [name, output] : outputs) {
      report_.add("output", name, testing::relative_norm(output, golden_.at("output." + name)));
      total = total + (output * golden_.at("input.cotangent." + name)).sum();
    }
    total.backward();
    Tensors all = parameters_;
    for (const auto& [name, leaf] : leaves_) all["input." + name] = leaf;
    REQUIRE(all.size() == golden_.with_prefix("grad.").size());
    for (const auto& [name, tensor] : all) {
      report_.add("gradient", name,
                  testing::relative_norm(tensor.grad(), golden_.at("grad." + name)));
    }
    REQUIRE(report_.largest("output") < kTolerance);
    REQUIRE(report_.largest("gradient") < kTolerance);
  }

  const GoldenCase& golden() const { return golden_; }
  ErrorReport& report() { return report_; }

 private:
  const GoldenCase& golden_;
  ErrorReport report_;
  Tensors leaves_, parameters_;
};

/// Runs `check` for every case of that name, in both backends.
void for_each_case(const std::string& name, const std::function<void(Part&)>& check) {
  int count = 0;
  for (const auto& path : testing::golden_cases("flux", "block_" + name)) {
    const GoldenCase golden = testing::load_golden(path);
    for (const auto& [backend_name, backend] : testing::backends()) {
      INFO(path << " " << backend_name);
      ops::set_backend(backend);
      Part part(golden, backend_name);
      check(part);
      ++count;
    }
    ops::set_backend(ops::Backend::kFused);
  }
  if (count == 0) TITAN_SKIP(testing::kNoGolden);
}

at::Tensor rope_of(const models::FluxConfig& config, const at::Tensor& positions) {
  return models::rope_table_axes(positions, config.axes_dim, config.theta);
}

/// Positions differ from sample to sample in the cases, and our table is one for all: each sample
/// goes through alone, `run` takes its number and table.
at::Tensor by_sample(const models::FluxConfig& config, const at::Tensor& positions,
                     const std::function<at::Tensor(int64_t, const at::Tensor&)>& run) {
  std::vector<at::Tensor> results;
  for (int64_t b = 0; b < positions.size(0); ++b)
    results.push_back(run(b, rope_of(config, positions[b])));
  return at::cat(results, 0);
}

TEST_CASE("Flux's double block agrees with the reference", "[golden]") {
  for_each_case("double", [](Part& part) {
    const models::FluxConfig config = block_config(part.golden());
    const auto block =
        part.load(std::make_shared<models::DoubleBlock>(config, at::TensorOptions()));
    const at::Tensor img = part.leaf("img"), txt = part.leaf("txt"), vec = part.leaf("vec");
    const int64_t image_tokens = img.size(1);
    const at::Tensor both =
        by_sample(config, part.golden().at("input.ids"), [&](int64_t b, const at::Tensor& rope) {
          BlockState state;
          state.x = img.narrow(0, b, 1);
          state.txt = txt.narrow(0, b, 1);
          state.cond = vec.narrow(0, b, 1);
          state.rope = rope;
          state = block->forward(state);
          const Residual txt_open = models::take_open_txt(state);
          return at::cat({models::closed(state.x, state.open), models::closed(state.txt, txt_open)},
                         1);
        });
    part.check({{"img", both.narrow(1, 0, image_tokens)},
                {"txt", both.narrow(1, image_tokens, both.size(1) - image_tokens)}});
  });
}

TEST_CASE("Flux's single block agrees with the reference", "[golden]") {
  for_each_case("single", [](Part& part) {
    const models::FluxConfig config = block_config(part.golden());
    const auto block =
        part.load(std::make_shared<models::SingleBlock>(config, at::TensorOptions()));
    const at::Tensor x = part.leaf("x"), vec = part.leaf("vec");
    part.check({{"x", by_sample(config, part.golden().at("input.ids"),
                                [&](int64_t b, const at::Tensor& rope) {
                                  BlockState state;
                                  state.x = x.narrow(0, b, 1);
                                  state.cond = vec.narrow(0, b, 1);
                                  state.rope = rope;
                                  state = block->forward(state);
                                  return models::closed(state.x, state.open);
                                })}});
  });
}

TEST_CASE("Flux's last layer agrees with the reference", "[golden]") {
  for_each_case("last_layer", [](Part& part) {
    const models::FluxConfig config = block_config(part.golden());
    const auto layer = part.load(std::make_shared<models::LastLayer>(
        config.hidden_size, part.golden().at("output.x").size(-1), config.norm_eps,
        at::TensorOptions()));
    const at::Tensor x = part.leaf("x"), vec = part.leaf("vec");
    const at::Tensor out = layer->forward(x, {}, vec);
    part.check({{"x", out}});
    // Rows of very small variance, where eps decides, have gradients far larger than the others.
    const at::Tensor ours = x.grad().flatten(0, 1),
                     theirs = part.golden().at("grad.input.x").flatten(0, 1);
    for (int64_t row = 0; row < ours.size(0); ++row)
      part.report().add("row", std::to_string(row), testing::relative_norm(ours[row], theirs[row]));
    REQUIRE(part.report().largest("row") < 2 * kTolerance);
  });
}

TEST_CASE("Flux's embedder agrees with the reference", "[golden]") {
  for_each_case("mlp_embedder", [](Part& part) {
    const auto embedder = part.load(std::make_shared<models::MlpEmbedder>(
        part.golden().at("input.x").size(-1), part.golden().at("output.x").size(-1),
        at::TensorOptions()));
    part.check({{"x", embedder->forward(part.leaf("x"))}});
  });
}

TEST_CASE("Flux's modulations agree with the reference", "[golden]") {
  for_each_case("modulation", [](Part& part) {
    const int64_t branches = part.golden().contains("output.gate2") ? 2 : 1;
    const auto modulation = part.load(std::make_shared<models::FluxModulation>(
        part.golden().at("input.vec").size(-1), branches, at::TensorOptions()));
    const auto out = modulation->forward(part.leaf("vec"));
    Tensors outputs;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::string end = branches == 1 ? "" : std::to_string(i + 1);
      outputs["shift" + end] = out[i].shift.unsqueeze(1);
      outputs["scale" + end] = out[i].scale.unsqueeze(1);
      outputs["gate" + end] = out[i].gate.unsqueeze(1);
    }
    part.check(outputs);
  });
}

TEST_CASE("the rotary table and rotation agree with the reference", "[golden]") {
  for_each_case("rope", [](Part& part) {
    const GoldenCase& golden = part.golden();
    const nlohmann::json& json = golden.json.at("config");
    const auto axes = json.at("axes_dim").get<std::vector<int64_t>>();
    const at::Tensor ids = golden.at("input.ids"), x = golden.at("input.x").transpose(1, 2);
    const auto absolute = [&](const char* name, const at::Tensor& ours, const at::Tensor& theirs) {
      part.report().add("absolute", name, (ours - theirs).abs().max().item<double>());
    };
    for (int64_t b = 0; b < ids.size(0); ++b) {
      const at::Tensor table = models::rope_table_axes(ids[b], axes, json.at("theta"));
      const at::Tensor pe = golden.at("output.pe")[b][0];  // [[cos, -sin], [sin, cos]]
      absolute("cos", table.select(-1, 0), pe.select(-1, 0).select(-1, 0));
      absolute("sin", table.select(-1, 1), pe.select(-1, 0).select(-1, 1));
      const at::Tensor one = x.narrow(0, b, 1);
      absolute("x", ops::rope(one, table).transpose(1, 2), golden.at("output.x").narrow(0, b, 1));
      absolute("x_reversed", ops::rope(one.flip({1}), table).transpose(1, 2),
               golden.at("output.x_reversed").narrow(0, b, 1));
    }
    REQUIRE(part.report().largest("absolute") < 5e-5);
  });
}

TEST_CASE("the timestep embedding agrees with the reference", "[golden]") {
  for_each_case("timestep_embedding", [](Part& part) {
    const at::Tensor t = part.golden().at("input.timesteps");
    for (const auto& [name, expected] : part.golden().with_prefix("output.")) {
      const at::Tensor argument = name == "rounded_t" ? t.to(at::kBFloat16).to(at::kFloat) : t;
      const at::Tensor ours = models::timestep_embedding(argument, expected.size(1));
      REQUIRE(ours.sizes() == expected.sizes());
      part.report().add("absolute", name, (ours - expected).abs().max().item<double>());
    }
    REQUIRE(part.report().largest("absolute") < 5e-4);
  });
}

/// [B, H, N, D] as in the cases to [B, N, H, D] as in the ops.
at::Tensor by_token(const at::Tensor& x) { return x.transpose(1, 2); }

TEST_CASE("rotation and attention together agree with the reference", "[golden]") {
  for_each_case("attention", [](Part& part) {
    const models::FluxConfig config = block_config(part.golden());
    const at::Tensor q = by_token(part.leaf("q")), k = by_token(part.leaf("k")),
                     v = by_token(part.leaf("v"));
    part.check({{"x", by_sample(config, part.golden().at("input.ids"),
                                [&](int64_t b, const at::Tensor& rope) {
                                  return ops::attention(ops::rope(q.narrow(0, b, 1), rope),
                                                        ops::rope(k.narrow(0, b, 1), rope),
                                                        v.narrow(0, b, 1))
                                      .flatten(2);
                                })}});
  });
}

TEST_CASE("the norms of queries and keys agree with the reference where eps decides", "[golden]") {
  for_each_case("qknorm", [](Part& part) {
    const GoldenCase& golden = part.golden();
    const double eps = block_config(golden).qk_norm_eps;
    const auto scales = part.load(
        std::make_shared<models::QkNorm>(golden.at("input.q").size(-1), at::TensorOptions()));
    const auto norm = [](const at::Tensor& x, const at::Tensor& scale, double with_eps) {
      return ops::modulate_norm(x.flatten(1, 2), {.rms = true, .eps = with_eps, .weight = scale})
          .view(x.sizes());
    };
    const at::Tensor q = part.leaf("q"), k = part.leaf("k");
    {
      const torch::NoGradGuard no_grad;
      const auto compare = [&](const char* group, const std::string& name, const at::Tensor& ours) {
        part.report().add(group, name, testing::relative_norm(ours, golden.at("output." + name)));
      };
      compare("output", "eps1e6.q", norm(q, scales->query_scale, 1e-6));
      compare("output", "eps1e6.k", norm(k, scales->key_scale, 1e-6));
      const auto bf16 = [](const at::Tensor& x) { return x.to(at::kBFloat16); };
      compare("bfloat16", "bf16.q", norm(bf16(q), bf16(scales->query_scale), eps));
      compare("bfloat16", "bf16.k", norm(bf16(k), bf16(scales->key_scale), eps));
    }
    part.check({{"q", norm(q, scales->query_scale, eps)}, {"k", norm(k, scales->key_scale, eps)}});
    // One rounding at the end, of sums taken in another order: a few values one unit apart.
    REQUIRE(part.report().largest("bfloat16") < 1e-3);
  });
}

}  // namespace
}  // namespace titan
