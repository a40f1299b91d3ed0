#include "tests/support/catch.h"

#include "titan/optim/adamw.h"

#include "titan/base/check.h"

#include "tests/optim/flat_model.h"

using titan::optim::AdamW;
using titan::optim::AdamWOptions;
using titan::optim::StepState;
using titan::parallel::FlatUnit;
using titan::testing::FlatModel;

namespace {

/// The paper's update in float64, one parameter at a time, none of it shared with the
/// implementation.
struct Reference {
  at::Tensor p, m, v;
  void step(const at::Tensor& gradient, int64_t n, double lr, double decay, const AdamWOptions& o) {
    const at::Tensor g = gradient.to(torch::kDouble);
    p = p * (1 - lr * decay);
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const at::Tensor root = v.sqrt() / std::sqrt(1 - std::pow(o.beta2, n));
    p = p - lr / (1 - std::pow(o.beta1, n)) * m / (root + o.eps);
  }
};

double largest_error(FlatModel& model, const std::vector<Reference>& expected) {
  double largest = 0;
  const std::vector<at::Tensor> actual = model.values(&FlatUnit::master);
  for (std::size_t i = 0; i < actual.size(); ++i)
    largest = std::max(largest,
                       (actual[i].to(torch::kDouble) - expected[i].p).abs().max().item<double>());
  return largest;
}

}  // namespace

TEST_CASE("AdamW is the paper's update, fused and plain, with groups and padding", "[optim]") {
  const bool fused = GENERATE(true, false);
  CAPTURE(fused);
  FlatModel model(titan::testing::example_shapes());
  const AdamWOptions options{.weight_decay = 0.3, .no_decay = {"norm", "bias"}, .fused = fused};
  AdamW optimizer(model.flat(), options);
  std::vector<Reference> expected;
  for (const at::Tensor& value : model.values(&FlatUnit::master)) {
    const at::Tensor p = value.to(torch::kDouble);
    expected.push_back({p, torch::zeros_like(p), torch::zeros_like(p)});
  }
  const std::vector<double> decay{0.3, 0, 0.3, 0,
                                  0.3, 0, 0.3};  // weight bias | wq norm wo | bias weight
  StepState state(at::kCPU);
  for (int64_t n = 1; n <= 5; ++n) {
    model.draw_gradients(1e-3);
    state.begin(n, 0.01 / static_cast<double>(n));
    const std::vector<at::Tensor> gradients = model.values(&FlatUnit::grad);
    for (std::size_t i = 0; i < expected.size(); ++i)
      expected[i].step(gradients[i], n, 0.01 / static_cast<double>(n), decay[i], options);
    optimizer.step(state);
  }
  // Weights of size 4 in float32, five roundings of half an ulp (2.4e-7) each, and float32 moments.
  REQUIRE(largest_error(model, expected) < 3e-6);
  for (std::size_t u = 0; u < model.flat().size(); ++u) {
    const FlatUnit& unit = model.flat()[u];
    at::Tensor padding = torch::ones_like(unit.master);
    for (const auto& fragment : unit.fragments)
      titan::parallel::fragment_view(padding, fragment).zero_();
    for (const at::Tensor& buffer :
         {unit.master, optimizer.moments()[u].exp_avg, optimizer.moments()[u].exp_avg_sq})
      REQUIRE((buffer * padding).abs().sum().item<double>() == 0);
  }
}

TEST_CASE("AdamW leaves out a step whose gradients are not finite", "[optim]") {
  const bool fused = GENERATE(true, false);
  CAPTURE(fused);
  FlatModel model(titan::testing::example_shapes());
  AdamW optimizer(model.flat(), {.fused = fused});
  StepState state(at::kCPU);
  model.draw_gradients(1e-3);
  state.begin(1, 0.01);
  optimizer.step(state, {}, torch::zeros({}));
  const std::vector<at::Tensor> before = model.values(&FlatUnit::master);
  const at::Tensor moments = optimizer.moments()[0].exp_avg.clone();
  for (FlatUnit& unit : model.flat()) unit.grad.fill_(NAN);
  state.begin(2, 0.01);
  optimizer.step(state, torch::full({}, NAN), torch::ones({}));
  const std::vector<at::Tensor> after = model.values(&FlatUnit::master);
  for (std::size_t i = 0; i < before.size(); ++i) REQUIRE(torch::equal(after[i], before[i]));
  REQUIRE(torch::equal(optimizer.moments()[0].exp_avg, moments));
  model.draw_gradients(1e-3);
  state.begin(3, 0.01);
  optimizer.step(state, {}, torch::zeros({}));
  REQUIRE_FALSE(torch::equal(model.values(&FlatUnit::master)[0], before[0]));
}

TEST_CASE("AdamW merges neighbours of one group into one segment", "[optim]") {
  FlatModel model(titan::testing::example_shapes());
  REQUIRE(AdamW(model.flat(), {}).segments().size() == 3);  // the unit without parameters has none
  const AdamW grouped(model.flat(), {.no_decay = {"norm"}});
  REQUIRE(grouped.segments().size() == 5);
  REQUIRE_FALSE(grouped.segments()[2].decay);
  for (const AdamW::Segment& segment : grouped.segments()) REQUIRE(segment.offset % 16 == 0);
}

TEST_CASE("AdamW gives the same bits however the parameters are grouped and threaded", "[optim]") {
  const auto run = [](std::vector<std::string> no_decay, int threads) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    FlatModel model(titan::testing::example_shapes());
    AdamW optimizer(model.flat(), {.weight_decay = 0, .no_decay = std::move(no_decay)});
    StepState state(at::kCPU);
    for (int64_t n = 1; n <= 3; ++n) {
      state.begin(n, 0.01);
      optimizer.step(state);
    }
    at::set_num_threads(before);
    return model.values(&FlatUnit::master);
  };
  const std::vector<at::Tensor> whole = run({}, 2), split = run({"norm", "bias"}, 1);
  for (std::size_t i = 0; i < whole.size(); ++i) REQUIRE(torch::equal(whole[i], split[i]));
}

TEST_CASE("AdamW clips the gradients in place before the update", "[optim]") {
  FlatModel clipped(titan::testing::example_shapes()), scaled(titan::testing::example_shapes());
  AdamW first(clipped.flat(), {}), second(scaled.flat(), {});
  StepState state(at::kCPU);
  state.begin(1, 0.1);
  first.step(state, torch::tensor(0.25F));
  for (FlatUnit& unit : scaled.flat()) unit.grad.mul_(0.25F);
  second.step(state);
  const auto a = clipped.values(&FlatUnit::master), b = scaled.values(&FlatUnit::master);
  for (std::size_t i = 0; i < a.size(); ++i) REQUIRE(torch::equal(a[i], b[i]));
}

TEST_CASE("Adam is AdamW without decay; options follow [optimizer]", "[optim]") {
  titan::OptimizerSection section;
  REQUIRE(titan::optim::adamw_options(section).weight_decay == 0.1);
  REQUIRE(titan::optim::adamw_options(section).fused);
  section.name = "Adam";
  section.implementation = "foreach";
  section.state_dtype = "bfloat16";
  REQUIRE(titan::optim::adamw_options(section).weight_decay == 0);
  REQUIRE_FALSE(titan::optim::adamw_options(section).fused);
  REQUIRE(titan::optim::adamw_options(section).state_dtype == at::kBFloat16);
  REQUIRE(titan::optim::adamw_options(section, 9).seed == 9);
}

TEST_CASE("AdamW refuses buffers that its kernel would misread", "[optim]") {
  FlatModel model(titan::testing::example_shapes());
  AdamW optimizer(model.flat(), {});
  StepState state(at::kCPU);
  state.begin(1, 0.1);
  const at::Tensor whole = model.flat()[0].grad;
  model.flat()[0].grad = whole.to(torch::kDouble);
  REQUIRE_THROWS_AS(optimizer.step(state), titan::Error);
  model.flat()[0].grad = whole.narrow(0, 0, 1);
  REQUIRE_THROWS_AS(AdamW(model.flat(), {}), titan::Error);
}
