// Bytes that wait between forward and backward, as the CPU allocator counts them, against
// arithmetic.
#include "tests/support/catch.h"

#include "titan/memory/cpu_allocator.h"
#include "titan/models/converters/float8.h"

#include "tests/models/small_models.h"

namespace titan {
namespace {

using testing::TrainingInputs;

constexpr int64_t kFloat = 4;  // bytes

struct Memory {
  int64_t kept = 0;  ///< allocated by forward and still there when backward begins
  int64_t peak = 0;  ///< most at any time of the pass
};
Memory memory_of(const std::shared_ptr<Model>& model, const TrainingInputs& inputs,
                 const RecomputePlan& plan) {
  REQUIRE(memory::install_cpu_allocator());
  struct Probe : RunnerHooks {
    void before_backward(std::size_t) override {
      if (at_backward == 0) at_backward = memory::cpu_memory_stats()->active;
    }
    void gradients_ready(std::size_t, const std::vector<at::Tensor>&) override {}
    int64_t at_backward = 0;
  };
  const auto pass = [&] {
    Probe probe;
    const int64_t before = memory::cpu_memory_stats()->active;
    memory::reset_cpu_memory_peak();
    make_runner(model, &probe, plan)
        ->forward_backward(inputs.x, inputs.t, inputs.condition,
                           [](const at::Tensor& y) { return y.square().mean(); });
    return Memory{.kept = probe.at_backward - before,
                  .peak = memory::cpu_memory_stats()->peak_active - before};
  };
  pass();  // fills tables that the model keeps, such as positions
  return pass();
}

RecomputePlan memory_plan_of(const std::string& mode, int64_t blocks) {
  for (auto& [name, plan] : testing::recompute_modes(static_cast<std::size_t>(blocks)))
    if (name == mode) return plan;
  throw Error("no mode " + mode);
}

constexpr int64_t kHeldBatch = 3;

Memory dit_memory(const std::string& mode, int64_t layers) {
  const auto model = std::make_shared<models::Dit>(testing::small_dit(layers));
  testing::randomize_parameters(*model, 0.2);
  return memory_of(model, testing::dit_inputs(kHeldBatch), memory_plan_of(mode, layers));
}
int64_t dit_kept(const std::string& mode, int64_t layers) { return dit_memory(mode, layers).kept; }
/// What one more block keeps.
int64_t dit_block(const std::string& mode) { return (dit_kept(mode, 6) - dit_kept(mode, 4)) / 2; }

TEST_CASE("a DiT block keeps the bytes of arithmetic in each mode", "[models]") {
  const models::DitConfig c = testing::small_dit();
  const int64_t tokens = kHeldBatch * 8;
  // The state behind a block: x, the open branch, and its gate, a part of the six modulations.
  const int64_t border = kFloat * (2 * tokens * c.dim + 6 * kHeldBatch * c.dim);
  const int64_t attention = kFloat * (tokens * c.dim + tokens * c.n_heads);  // and log-sum-exp
  // modulation (there already), wk, wo, and w1 or w3
  const int64_t matmuls = kFloat * tokens * (c.dim + c.dim + c.ffn_hidden());
  REQUIRE(dit_block("full") == border);
  REQUIRE(dit_block("full, outputs computed again") == border);
  REQUIRE(dit_block("attention kept") == border + attention);
  REQUIRE(dit_block("per op") == border + attention + matmuls);
  REQUIRE(dit_block("every matmul kept") ==
          border + kFloat * tokens * (4 * c.dim + 2 * c.ffn_hidden()));  // w2's is the branch
  REQUIRE(dit_block("none") > dit_block("per op"));
  // Blocks keep their bytes side by side, whatever the others do; the first one finds no residual
  // to close, so recorded it keeps x once.
  const int64_t saved = dit_block("none") - border, first = saved - kFloat * tokens * c.dim;
  REQUIRE(dit_kept("none", 6) - dit_kept("full", 6) == first + 5 * saved);
  REQUIRE(dit_kept("none", 6) - dit_kept("every second block", 6) == 3 * saved);
  REQUIRE(dit_kept("none", 6) - dit_kept("full, half of the blocks", 6) == first + 2 * saved);
}

TEST_CASE("the peak of a pass falls by what all blocks but the one at work save", "[models]") {
  const int64_t layers = 12, border = dit_block("full");
  const int64_t none = dit_memory("none", layers).peak;
  for (const std::string mode : {"full", "per op"}) {
    INFO(mode);
    const int64_t saved = dit_block("none") - dit_block(mode);
    const int64_t fell = none - dit_memory(mode, layers).peak;
    // The recompute makes the block's outputs a second time: another border at most.
    REQUIRE(fell >= (layers - 1) * saved - border);
    REQUIRE(fell <= layers * saved);
  }
}

int64_t flux_kept(const std::string& mode, int64_t doubles, int64_t singles) {
  const models::FluxConfig config = testing::small_flux(doubles, singles);
  const auto model = std::make_shared<models::Flux>(config);
  testing::randomize_parameters(*model, 0.1);
  return memory_of(model, testing::flux_inputs(config, kHeldBatch),
                   memory_plan_of(mode, doubles + singles))
      .kept;
}

TEST_CASE("Flux's blocks keep the bytes of arithmetic in each mode", "[models]") {
  const models::FluxConfig c = testing::small_flux();
  const int64_t h = c.hidden_size, mlp = c.mlp_hidden();
  const int64_t stream = kHeldBatch * 6, tokens = 2 * stream;
  const int64_t attention = kFloat * (tokens * h + tokens * c.num_heads);
  // x and branch of every token; the gates are parts of 6 and 3 modulations.
  const int64_t double_border = kFloat * (2 * tokens * h + 2 * 6 * kHeldBatch * h);
  const int64_t single_border = kFloat * (2 * tokens * h + 3 * kHeldBatch * h);
  // Double: modulation (there already), one stream's qkv, proj, mlp.2 (the branch), the other's
  // mlp.0; single: modulation and linear2, both there already.
  const int64_t double_matmuls = kFloat * stream * (3 * h + h + mlp);

  const auto double_block = [](const std::string& mode) {
    return flux_kept(mode, 3, 1) - flux_kept(mode, 2, 1);
  };
  const auto single_block = [](const std::string& mode) {
    return flux_kept(mode, 2, 3) - flux_kept(mode, 2, 2);
  };
  REQUIRE(double_block("full") == double_border);
  REQUIRE(double_block("attention kept") == double_border + attention);
  REQUIRE(double_block("per op") == double_border + attention + double_matmuls);
  REQUIRE(double_block("none") > double_block("per op"));
  REQUIRE(single_block("full") == single_border);
  REQUIRE(single_block("per op") == single_border + attention);
  REQUIRE(single_block("none") > single_block("per op"));
}

TEST_CASE("layers in 8 bits that read one input keep one copy of it", "[models]") {
  const auto kept = [](int64_t layers, bool fuse) {
    const auto model = std::make_shared<models::Dit>(testing::small_dit(layers));
    testing::randomize_parameters(*model, 0.2);
    models::convert_to_float8(*model, {.emulate = true});
    models::fuse_float8_inputs(*model, fuse);
    return memory_of(model, testing::dit_inputs(kHeldBatch), {}).kept;
  };
  const auto block = [&](bool fuse) { return (kept(6, fuse) - kept(4, fuse)) / 2; };
  // wq, wk and wv share one, w1 and w3 another: 24 tokens, held as 32, and a scale.
  const models::DitConfig c = testing::small_dit();
  REQUIRE(block(false) - block(true) == 3 * (c.dim * 32 + kFloat));
}

TEST_CASE("evaluation keeps nothing but its prediction, whatever the plan", "[models]") {
  REQUIRE(memory::install_cpu_allocator());
  const auto model = std::make_shared<models::Dit>(testing::small_dit());
  testing::randomize_parameters(*model, 0.2);
  const TrainingInputs inputs = testing::dit_inputs(kHeldBatch);
  for (const auto& [name, plan] : testing::recompute_modes(4)) {
    INFO(name);
    const auto runner = make_runner(model, nullptr, plan);
    runner->forward(inputs.x, inputs.t, inputs.condition);
    const int64_t before = memory::cpu_memory_stats()->active;
    const at::Tensor prediction = runner->forward(inputs.x, inputs.t, inputs.condition);
    REQUIRE(memory::cpu_memory_stats()->active - before ==
            static_cast<int64_t>(prediction.nbytes()));
  }
}

}  // namespace
}  // namespace titan
