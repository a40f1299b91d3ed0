// Recomputed blocks against recorded ones, on a U-shaped model with a skip stack and dropout, and
// on blocks that break the rules.
#include "tests/support/catch.h"

#include "tests/protocols/tiny_unet.h"

namespace titan {
namespace {

using testing::Case;
using testing::Recorder;
using testing::TinyUNet;

const BlockRecompute kRecompute{.recompute = true, .keep = {}};

/// Every subset of the four blocks.
std::vector<RecomputePlan> all_plans() {
  std::vector<RecomputePlan> plans;
  for (unsigned bits = 0; bits < 16; ++bits) {
    RecomputePlan plan(4);
    for (unsigned i = 0; i < 4; ++i)
      if ((bits >> i & 1) != 0) plan[i] = kRecompute;
    plans.push_back(plan);
  }
  return plans;
}

/// Loss, gradients by unit, and one number drawn afterwards.
struct Outcome {
  at::Tensor loss, next_random;
  std::map<std::size_t, std::vector<at::Tensor>> gradients;
  std::string calls;
};
Outcome run(const Case& c, const RecomputePlan& plan) {
  Recorder recorder;
  const auto runner = make_runner(c.model, &recorder, plan);
  at::manual_seed(17);
  Outcome outcome;
  outcome.loss = runner->forward_backward(c.x, c.t, {}, c.loss);
  outcome.next_random = at::rand({4});
  outcome.gradients = recorder.by_unit;
  outcome.calls = recorder.calls.str();
  return outcome;
}

void require_same_bits(const Outcome& a, const Outcome& b) {
  REQUIRE(at::equal(a.loss, b.loss));
  REQUIRE(at::equal(a.next_random, b.next_random));
  REQUIRE(a.calls == b.calls);
  REQUIRE(a.gradients.size() == b.gradients.size());
  for (const auto& [unit, gradients] : a.gradients) {
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      const at::Tensor& other = b.gradients.at(unit)[i];
      INFO("unit " << unit << " parameter " << i);
      REQUIRE(gradients[i].defined() == other.defined());
      if (!other.defined()) continue;
      REQUIRE(other.abs().max().item<double>() > 0);
      REQUIRE(at::equal(gradients[i], other));
    }
  }
}

TEST_CASE("any subset of recomputed blocks gives the bits of none, dropout included",
          "[protocols]") {
  for (const double dropped : {0.0, 0.4}) {
    at::manual_seed(3);
    const Case c(dropped);
    const Outcome none = run(c, {});
    for (const RecomputePlan& plan : all_plans()) require_same_bits(run(c, plan), none);
  }
}

TEST_CASE("dropout draws again in every pass", "[protocols]") {
  at::manual_seed(3);
  const Case c(0.4);
  Recorder recorder;
  const auto runner = make_runner(c.model, &recorder, RecomputePlan(4, kRecompute));
  const at::Tensor first = runner->forward_backward(c.x, c.t, {}, c.loss);
  const at::Tensor second = runner->forward_backward(c.x, c.t, {}, c.loss);
  REQUIRE_FALSE(at::equal(first, second));
}

TEST_CASE("frozen parameters and frozen blocks are recomputed right or not at all", "[protocols]") {
  at::manual_seed(5);
  const Case c;
  auto parameters = c.model->named_parameters();
  parameters["layer1.gate"].set_requires_grad(false);
  parameters["layer3.conv.weight"].set_requires_grad(false);
  for (const std::string prefix : {"stem", "time", "layer0"}) {
    for (auto& entry : parameters)
      if (entry.key().rfind(prefix, 0) == 0) entry.value().set_requires_grad(false);
  }
  const Outcome none = run(c, {});
  require_same_bits(run(c, RecomputePlan(4, kRecompute)), none);
}

TEST_CASE("a block is computed again between before_backward and its gradients", "[protocols]") {
  struct Watched : TinyUNet {
    explicit Watched(std::ostringstream& to) {
      struct Telling : Block {
        Telling(std::shared_ptr<Block> block, std::ostringstream& to) : out(to) {
          inner = register_module("inner", std::move(block));
        }
        BlockState forward(BlockState state) override {
          out << (at::GradMode::is_enabled() ? "[recorded]" : "[unrecorded]") << ' ';
          return inner->forward(std::move(state));
        }
        std::shared_ptr<Block> inner;
        std::ostringstream& out;
      };
      const auto inner = TinyUNet::blocks();
      for (std::size_t i = 0; i < inner.size(); ++i) {
        unregister_module("layer" + std::to_string(i));
        told.push_back(
            register_module("told" + std::to_string(i), std::make_shared<Telling>(inner[i], to)));
      }
    }
    std::vector<std::shared_ptr<Block>> blocks() const override { return told; }
    std::vector<std::shared_ptr<Block>> told;
  };
  Case c;
  Recorder recorder;
  c.model = std::make_shared<Watched>(recorder.calls);
  RecomputePlan plan(4);
  plan[1] = plan[2] = kRecompute;
  make_runner(c.model, &recorder, plan)->forward_backward(c.x, c.t, {}, c.loss);
  REQUIRE(recorder.calls.str() ==
          "f0 f1 [recorded] f2 [unrecorded] f3 [unrecorded] f4 [recorded] f5 b5 g5 b4 g4 "
          "b3 [recorded] g3 b2 [recorded] g2 b1 g1 b0 g0 ");
}

TEST_CASE("a plan of another length is refused", "[protocols]") {
  REQUIRE_THROWS_WITH(make_runner(std::make_shared<TinyUNet>(), nullptr, RecomputePlan(3)),
                      Catch::Contains("plan=3, blocks=4"));
}

/// One block between a stem and a head that do nothing; `act` is the block.
using Act = std::function<void(BlockState&, int call)>;
struct OneBlock : Model {
  struct Acting : Block {
    explicit Acting(Act function) : act(std::move(function)) {
      weight = register_parameter("weight", at::ones({3}));
    }
    BlockState forward(BlockState state) override {
      act(state, calls++);
      state.x = state.x * weight;
      return state;
    }
    Act act;
    int calls = 0;
    at::Tensor weight;
  };
  explicit OneBlock(Act act) {
    block = register_module("block", std::make_shared<Acting>(std::move(act)));
  }
  BlockState embed(const at::Tensor& x_t, const at::Tensor&, const Conditioning&) override {
    BlockState state;
    state.x = x_t;
    state.extra.set("table", at::ones({3}));
    return state;
  }
  std::vector<std::shared_ptr<Block>> blocks() const override { return {block}; }
  at::Tensor head(const BlockState& state, at::IntArrayRef) override { return state.x; }
  std::vector<std::string> head_parameters() const override { return {}; }
  void initialize_parameter(std::uint64_t, const std::string&, const init::Slice&) override {}
  std::shared_ptr<Acting> block;
};
void run_one(const Act& act, const ops::KeepPolicy& keep = {}) {
  struct Nothing : RunnerHooks {
    void gradients_ready(std::size_t, const std::vector<at::Tensor>&) override {}
  } hooks;
  const BlockRecompute recompute{.recompute = true, .keep = keep};
  make_runner(std::make_shared<OneBlock>(act), &hooks, {recompute})
      ->forward_backward(at::ones({2, 3}), {}, {}, [](const at::Tensor& y) { return y.sum(); });
}

TEST_CASE("a block that does not do the same twice is refused by what differs", "[protocols]") {
  REQUIRE_NOTHROW(run_one([](BlockState&, int) {}));
  REQUIRE_THROWS_WITH(run_one([](BlockState& state, int) { state.extra.get("table").add_(1); }),
                      Catch::Contains("input was changed in place") && Catch::Contains("tensor 6"));
  REQUIRE_THROWS_WITH(run_one([](BlockState& state, int call) {
                        if (call == 1) state.extra.erase("table");
                      }),
                      Catch::Contains("another state") && Catch::Contains("tensors=6, at first=7"));
  REQUIRE_THROWS_WITH(run_one([](BlockState& state, int call) {
                        state.txt = call == 0 ? at::ones({1}) : at::Tensor();
                      }),
                      Catch::Contains("left a tensor undefined") && Catch::Contains("tensor 1"));
}

TEST_CASE("a constant that a recomputed block makes gets no gradient and disturbs none",
          "[protocols]") {
  // The first pass cannot know that `cond` depends on nothing; its gradient must be dropped.
  const auto with_constant = [](BlockState& state, int) { state.cond = at::full({3}, 2.0); };
  struct Two : OneBlock {
    using OneBlock::OneBlock;
    at::Tensor head(const BlockState& state, at::IntArrayRef) override {
      return state.x * state.cond;
    }
  };
  Recorder none, again;
  const auto loss = [](const at::Tensor& y) { return y.sum(); };
  make_runner(std::make_shared<Two>(with_constant), &none)
      ->forward_backward(at::rand({2, 3}), {}, {}, loss);
  const at::Tensor x = at::rand({2, 3});
  make_runner(std::make_shared<Two>(with_constant), &none)->forward_backward(x, {}, {}, loss);
  make_runner(std::make_shared<Two>(with_constant), &again, {kRecompute})
      ->forward_backward(x, {}, {}, loss);
  REQUIRE(at::equal(none.by_unit.at(1)[0], again.by_unit.at(1)[0]));
  REQUIRE(at::allclose(again.by_unit.at(1)[0], 2 * x.sum(0)));
}

}  // namespace
}  // namespace titan
