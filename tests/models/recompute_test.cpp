// Every way to recompute against none: the same bits, the FLOPs of the formula.
#include "tests/support/catch.h"

#include "titan/metrics/flops.h"
#include "titan/models/dit/flops.h"
#include "titan/models/flux/flops.h"

#include "tests/models/small_models.h"
#include "tests/support/modules.h"

namespace titan {
namespace {

using testing::TrainingInputs;

void require_same_bits_in_every_mode(const std::shared_ptr<Model>& model,
                                     const TrainingInputs& inputs) {
  const auto none = testing::training_pass(model, inputs, {});
  for (const auto& [name, plan] : testing::recompute_modes(model->blocks().size())) {
    INFO(name);
    const auto found = testing::training_pass(model, inputs, plan);
    REQUIRE(found.size() == none.size());
    for (const auto& [parameter, gradient] : none) {
      INFO(parameter);
      REQUIRE(gradient.abs().max().item<double>() > 0);
      REQUIRE(at::equal(found.at(parameter), gradient));
    }
  }
}

TEST_CASE("recompute changes no bit of a DiT's gradients", "[models]") {
  at::manual_seed(21);
  for (const auto& [backend, chosen] : testing::backends()) {
    ops::set_backend(chosen);
    for (const std::string mode : {"adaLN", "context"}) {
      for (const std::string norm : {"rmsnorm", "layernorm", "np_layernorm", "np_layernorm_bias"}) {
        models::DitConfig config = testing::small_dit();
        config.condition_mode = mode;
        config.norm_type = norm;
        config.n_kv_heads = norm == "layernorm" ? 1 : 2;
        config.absolute_positions = norm == "np_layernorm";
        INFO(backend << " " << mode << " " << norm);
        const auto model = std::make_shared<models::Dit>(config);
        testing::randomize_parameters(*model, 0.2);
        require_same_bits_in_every_mode(model, testing::dit_inputs(3));
      }
    }
  }
  ops::set_backend(ops::Backend::kFused);
}

TEST_CASE("recompute changes no bit of a Flux's gradients", "[models]") {
  at::manual_seed(22);
  for (const auto& [backend, chosen] : testing::backends()) {
    ops::set_backend(chosen);
    for (const bool other : {false, true}) {
      models::FluxConfig config = testing::small_flux();
      config.guidance_embed = other;
      config.qkv_bias = !other;
      INFO(backend << " " << other);
      const auto model = std::make_shared<models::Flux>(config);
      testing::randomize_parameters(*model, 0.1);
      require_same_bits_in_every_mode(model, testing::flux_inputs(config, 2));
    }
  }
  ops::set_backend(ops::Backend::kFused);
}

TEST_CASE("recompute changes no bit in bfloat16, where LibTorch's attention runs", "[models]") {
  at::manual_seed(23);
  const auto dit = std::make_shared<models::Dit>(testing::small_dit());
  testing::randomize_parameters(*dit, 0.2);
  dit->to(at::kBFloat16);
  require_same_bits_in_every_mode(dit, testing::dit_inputs(3));
  const models::FluxConfig config = testing::small_flux();
  const auto flux = std::make_shared<models::Flux>(config);
  testing::randomize_parameters(*flux, 0.1);
  flux->to(at::kBFloat16);
  require_same_bits_in_every_mode(flux, testing::flux_inputs(config, 2));
}

TEST_CASE("a forward for evaluation is the same whatever the plan", "[models]") {
  at::manual_seed(24);
  const auto model = std::make_shared<models::Dit>(testing::small_dit());
  testing::randomize_parameters(*model, 0.2);
  const TrainingInputs inputs = testing::dit_inputs(2);
  const at::Tensor none =
      make_runner(model, nullptr)->forward(inputs.x, inputs.t, inputs.condition);
  for (const auto& [name, plan] : testing::recompute_modes(4)) {
    INFO(name);
    const auto runner = make_runner(model, nullptr, plan);
    REQUIRE(at::equal(runner->forward(inputs.x, inputs.t, inputs.condition), none));
  }
}

metrics::CountedFlops count_pass(const std::shared_ptr<Model>& model, const TrainingInputs& inputs,
                                 const RecomputePlan& plan) {
  const metrics::FlopCounter counter;
  testing::training_pass(model, inputs, plan);
  return counter.counted();
}

RecomputePlan plan_of(const std::string& mode, std::size_t blocks) {
  for (auto& [name, plan] : testing::recompute_modes(blocks))
    if (name == mode) return plan;
  throw Error("no mode " + mode);
}

TEST_CASE("FLOPs that a DiT repeats are counted apart and are the formula's", "[models]") {
  constexpr int64_t kBatch = 3, kLayers = 4;
  const models::DitConfig config = testing::small_dit(kLayers);
  const auto model = std::make_shared<models::Dit>(config);
  testing::randomize_parameters(*model, 0.2);
  const TrainingInputs inputs = testing::dit_inputs(kBatch);

  const models::DitFlops flops = models::dit_flops(config, 8, 4);
  const int64_t d = config.dim, square = kBatch * 2 * 8 * d * d;  // one D x D map of 8 tokens
  const int64_t up = kBatch * 2 * 8 * d * config.ffn_hidden();    // w1, w2 or w3
  const int64_t modulation = kBatch * flops.adaln / kLayers;
  const int64_t attention = kBatch * flops.attention / kLayers;
  const int64_t block = modulation + 4 * square + 3 * up + attention;
  const metrics::CountedFlops none = count_pass(model, inputs, {});
  REQUIRE(none.recompute == kLayers * attention / 2);  // of fused attention's backward

  const auto repeated = [&](const std::string& mode) {
    INFO(mode);
    const metrics::CountedFlops counted = count_pass(model, inputs, plan_of(mode, kLayers));
    REQUIRE(counted.model == none.model);
    return counted.recompute - none.recompute;
  };
  REQUIRE(repeated("full, outputs computed again") == kLayers * block);
  // w2's result is what the block hands on.
  REQUIRE(repeated("full") == kLayers * (block - up));
  REQUIRE(repeated("full, half of the blocks") == kLayers / 2 * (block - up));
  REQUIRE(repeated("every second block") == kLayers / 2 * (block - up));
  REQUIRE(repeated("attention kept") == kLayers * (block - up - attention));
  // In order: modulation, wq, wk, wv, wo, w1 and w3, w2; the first, third, ... are kept.
  REQUIRE(repeated("per op") == kLayers * (2 * square + up));
  REQUIRE(repeated("every third matmul kept") == kLayers * (3 * square + 2 * up + attention - up));
  REQUIRE(repeated("every matmul kept") == kLayers * attention);
  REQUIRE(repeated("attention and every matmul kept") == 0);
}

TEST_CASE("FLOPs that a Flux repeats are counted apart and are the formula's", "[models]") {
  constexpr int64_t kBatch = 2, kTokens = 6;  // of each stream
  const models::FluxConfig config = testing::small_flux(2, 2);
  const auto model = std::make_shared<models::Flux>(config);
  testing::randomize_parameters(*model, 0.1);
  const TrainingInputs inputs = testing::flux_inputs(config, kBatch);

  const models::FluxFlops flops = models::flux_flops(config, kTokens, kTokens);
  const int64_t h = config.hidden_size, mlp = config.mlp_hidden();
  const int64_t stream = 2 * kBatch * kTokens;  // FLOPs of a 1 x 1 map of one stream's tokens
  const int64_t blocks =
      kBatch * (flops.double_linears + flops.single_linears + flops.attention + flops.modulation);
  // What blocks hand on: mlp.2 of both streams, linear2.
  const int64_t outputs =
      config.depth * 2 * stream * mlp * h + config.depth_single_blocks * 2 * stream * (h + mlp) * h;
  const metrics::CountedFlops none = count_pass(model, inputs, {});
  REQUIRE(none.recompute == kBatch * flops.attention / 2);

  const auto repeated = [&](const std::string& mode) {
    INFO(mode);
    const metrics::CountedFlops counted = count_pass(model, inputs, plan_of(mode, 4));
    REQUIRE(counted.model == none.model);
    return counted.recompute - none.recompute;
  };
  REQUIRE(repeated("full, outputs computed again") == blocks);
  REQUIRE(repeated("full") == blocks - outputs);
  REQUIRE(repeated("attention kept") == blocks - outputs - kBatch * flops.attention);
  REQUIRE(repeated("attention and every matmul kept") == 0);
  // Double: two modulations, two qkv, then proj, mlp.0, mlp.2 of the image, of the text; single:
  // modulation, linear1, linear2. The second, fourth, ... are repeated.
  const int64_t one_modulation = kBatch * 2 * h * 6 * h;
  const int64_t double_block =
      one_modulation + stream * h * 3 * h + stream * h * mlp + stream * h * h;
  const int64_t single_block = 2 * stream * h * (3 * h + mlp);
  REQUIRE(repeated("per op") ==
          config.depth * double_block + config.depth_single_blocks * single_block);
}

}  // namespace
}  // namespace titan
