// AdamW and its averages over flat buffers whose weights, moments and gradients are kept in less
// than float32.
#include "tests/support/catch.h"

#include "titan/optim/adamw.h"
#include "titan/optim/ema.h"
#include "titan/optim/grad_norm.h"

#include "titan/base/check.h"
#include "titan/parallel/unit_gather.h"

#include "tests/optim/flat_model.h"

using titan::optim::AdamW;
using titan::optim::AdamWOptions;
using titan::optim::Ema;
using titan::optim::StepState;
using titan::parallel::FlatParameters;
using titan::parallel::FlatParametersOptions;
using titan::parallel::FlatUnit;
using titan::parallel::MasterWeights;

namespace {

/// Leaves with values from the seed 1, cut as the options say.
struct Cut {
  std::vector<titan::ModelUnit> units;
  FlatParameters parameters;

  explicit Cut(const FlatParametersOptions& options)
      : units(titan::testing::FlatModel(titan::testing::example_shapes()).units),
        parameters(fresh(units), options) {}

  static const std::vector<titan::ModelUnit>& fresh(std::vector<titan::ModelUnit>& units) {
    torch::manual_seed(1);
    for (titan::ModelUnit& unit : units)
      for (at::Tensor& leaf : unit.parameters)
        leaf = torch::randn(leaf.sizes().vec()).requires_grad_();
    return units;
  }
  /// The same gradient for each element of a parameter, wherever it lies.
  void draw_gradients(int64_t step) {
    for (FlatUnit& unit : parameters.units()) {
      for (const auto& fragment : unit.fragments) {
        const at::Tensor at =
            torch::arange(fragment.global_offset, fragment.global_offset + fragment.length);
        titan::parallel::fragment_view(unit.grad, fragment)
            .copy_(torch::sin(at.to(torch::kDouble) * 0.7 + static_cast<double>(step)));
      }
    }
  }
};

FlatParametersOptions kept_in(MasterWeights master, int64_t rank = 0, int64_t ranks = 1) {
  return {.compute_dtype = at::kBFloat16,
          .shard = {.rank = rank, .ranks = ranks},
          .resident = ranks == 1,
          .master = master,
          .grad_dtype = at::kBFloat16};
}

void train(Cut& cut, AdamW& optimizer, Ema* ema, int64_t first, int64_t last) {
  StepState state(at::kCPU);
  for (int64_t n = first; n <= last; ++n) {
    cut.draw_gradients(n);
    state.begin(n, 0.01, ema != nullptr ? ema->share(n) : 0);
    optimizer.step(state, torch::tensor(0.5F), {}, ema);
    cut.parameters.weights_changed();
  }
}

std::vector<at::Tensor> values(const Cut& cut) {
  std::vector<at::Tensor> result;
  for (const FlatUnit& unit : cut.parameters.units())
    for (const auto& fragment : unit.fragments)
      result.push_back(
          titan::parallel::fragment_view(unit.weights(), fragment).values().to(at::kFloat).clone());
  return result;
}

}  // namespace

TEST_CASE("weights in two halves train as float32 ones do, to the bit", "[optim]") {
  const at::ScalarType state = GENERATE(at::kFloat, at::kBFloat16);
  Cut wide(kept_in(MasterWeights::kFloat32)), halves(kept_in(MasterWeights::kRemainder));
  const AdamWOptions options{.no_decay = {"norm", "bias"}, .state_dtype = state, .seed = 3};
  AdamW one(wide.parameters.units(), options), other(halves.parameters.units(), options);
  Ema average(wide.parameters, {.decay = 0.9}), averaged(halves.parameters, {.decay = 0.9});
  train(wide, one, &average, 1, 10);
  train(halves, other, &averaged, 1, 10);
  const auto a = values(wide), b = values(halves);
  for (std::size_t i = 0; i < a.size(); ++i) REQUIRE(torch::equal(a[i], b[i]));
  for (std::size_t u = 0; u < average.shadows().size(); ++u)
    REQUIRE(torch::equal(average.shadows()[u], averaged.shadows()[u]));
  REQUIRE(other.moments()[0].exp_avg.scalar_type() == state);
  // 10 bytes a parameter: the model reads the weights' upper halves themselves.
  int64_t bytes = 0, elements = 0;
  for (std::size_t u = 0; u < halves.parameters.units().size(); ++u) {
    const FlatUnit& unit = halves.parameters.units()[u];
    if (unit.master.numel() == 0) continue;
    REQUIRE(unit.master.data_ptr() == halves.parameters.whole(u).data_ptr());
    elements += unit.master.numel();
    for (const at::Tensor& buffer : {unit.master, unit.remainder, unit.grad,
                                     other.moments()[u].exp_avg, other.moments()[u].exp_avg_sq})
      bytes += static_cast<int64_t>(buffer.nbytes());
  }
  REQUIRE(bytes == elements * (state == at::kFloat ? 14 : 10));
}

TEST_CASE("two slices are updated as the whole is, to the bit, in every storage", "[optim]") {
  const MasterWeights kept =
      GENERATE(MasterWeights::kFloat32, MasterWeights::kRemainder, MasterWeights::kStochastic);
  const AdamWOptions options{.state_dtype = at::kBFloat16, .seed = 5};
  Cut whole(kept_in(kept));
  AdamW optimizer(whole.parameters.units(), options);
  train(whole, optimizer, nullptr, 1, 5);
  for (int64_t rank = 0; rank < 2; ++rank) {
    Cut slice(kept_in(kept, rank, 2));
    AdamW part(slice.parameters.units(), options);
    train(slice, part, nullptr, 1, 5);
    for (std::size_t u = 0; u < slice.parameters.units().size(); ++u) {
      const FlatUnit &mine = slice.parameters.units()[u], &all = whole.parameters.units()[u];
      for (const auto& fragment : mine.fragments) {
        // A parameter lies at the same place of the unit on every layout.
        const int64_t at = mine.first_element + fragment.local_offset;
        REQUIRE(torch::equal(titan::parallel::fragment_view(mine.weights(), fragment).values(),
                             all.weights().narrow(at, fragment.length).values()));
        REQUIRE(torch::equal(titan::parallel::fragment_view(part.moments()[u].exp_avg_sq, fragment),
                             optimizer.moments()[u].exp_avg_sq.narrow(0, at, fragment.length)));
      }
    }
  }
}

TEST_CASE("the average in the update's pass is the one of Ema::update", "[optim]") {
  const MasterWeights kept =
      GENERATE(MasterWeights::kFloat32, MasterWeights::kRemainder, MasterWeights::kStochastic);
  Cut cut(kept_in(kept));
  AdamW optimizer(cut.parameters.units(), {});
  const titan::optim::EmaOptions options{.decay = 0.9, .interval = 2, .start_step = 3};
  Ema together(cut.parameters, options), apart(cut.parameters, options);
  for (int64_t n = 1; n <= 8; ++n) {
    train(cut, optimizer, &together, n, n);
    apart.update(n);
    for (std::size_t u = 0; u < apart.shadows().size(); ++u)
      REQUIRE(torch::allclose(together.shadows()[u], apart.shadows()[u], 1e-6, 1e-6));
    if (n < 3)
      REQUIRE(torch::equal(together.shadows()[0],
                           cut.parameters.units()[0].weights().values().to(at::kFloat)));
  }
}

TEST_CASE("swap gives every bit back in every storage", "[optim]") {
  const MasterWeights kept = GENERATE(MasterWeights::kRemainder, MasterWeights::kStochastic);
  Cut cut(kept_in(kept));
  AdamW optimizer(cut.parameters.units(), {});
  Ema ema(cut.parameters, {.decay = 0.7});
  train(cut, optimizer, &ema, 1, 4);
  const auto before = values(cut);
  std::vector<at::Tensor> averages;
  for (const at::Tensor& shadow : ema.shadows()) averages.push_back(shadow.clone());
  {
    const Ema::Scope scope(&ema);
    const FlatUnit& unit = cut.parameters.units()[1];
    const at::Tensor now = unit.weights().values().to(at::kFloat);
    if (kept == MasterWeights::kRemainder) {
      REQUIRE(torch::equal(now, averages[1]));
    } else {
      REQUIRE(torch::allclose(now, averages[1], 1.0 / 256, 0));  // half a spacing of bfloat16
    }
  }
  const auto after = values(cut);
  for (std::size_t i = 0; i < before.size(); ++i) REQUIRE(torch::equal(before[i], after[i]));
  for (std::size_t u = 0; u < averages.size(); ++u)
    REQUIRE(torch::equal(ema.shadows()[u], averages[u]));
}

TEST_CASE("the update writes the bfloat16 copy that the model reads", "[optim]") {
  const bool fused = GENERATE(true, false);
  FlatParametersOptions options = kept_in(MasterWeights::kFloat32);
  options.grad_dtype = at::kFloat;
  Cut cut(options);
  AdamW optimizer(cut.parameters.units(), {.fused = fused});
  StepState state(at::kCPU);
  titan::parallel::UnitGather gather(cut.parameters, {}, {.num_units = cut.units.size()});
  const auto model_reads_weights = [&] {
    for (std::size_t u = 0; u < cut.units.size(); ++u) gather.before_forward(u);
    for (std::size_t u = 0; u < cut.units.size(); ++u)
      REQUIRE(torch::equal(cut.parameters.whole(u),
                           cut.parameters.units()[u].master.to(at::kBFloat16)));
  };
  model_reads_weights();
  for (int64_t n = 1; n <= 3; ++n) {
    cut.draw_gradients(n);
    state.begin(n, 0.01);
    optimizer.step(state);
    REQUIRE(optimizer.writes_copies() == fused);
    if (fused) {  // nothing is left for the gather to copy
      REQUIRE(torch::equal(cut.parameters.whole(1),
                           cut.parameters.units()[1].master.to(at::kBFloat16)));
    }
    cut.parameters.weights_changed(/*with_copies=*/fused);
    // Weights that changed otherwise, once or before an update that knows nothing of it.
    if (n == 2) {
      for (FlatUnit& unit : cut.parameters.units()) unit.master.mul_(-2);
      cut.parameters.weights_changed();
      cut.parameters.weights_changed(/*with_copies=*/true);
    }
    model_reads_weights();
  }
}

TEST_CASE("the gradient norm of bfloat16 gradients is that of their values", "[optim]") {
  Cut narrow(kept_in(MasterWeights::kRemainder));
  narrow.draw_gradients(1);
  double sum = 0;
  for (const FlatUnit& unit : narrow.parameters.units())
    sum += unit.grad.to(torch::kDouble).square().sum().item<double>();
  REQUIRE(titan::optim::global_grad_norm(narrow.parameters.units()).item<double>() ==
          Approx(std::sqrt(sum)).epsilon(1e-7));
}

TEST_CASE("the plain update refuses what it cannot store", "[optim]") {
  Cut halves(kept_in(MasterWeights::kRemainder));
  REQUIRE_THROWS_AS(AdamW(halves.parameters.units(), {.fused = false}), titan::Error);
  titan::testing::FlatModel wide(titan::testing::example_shapes());
  REQUIRE_THROWS_AS(AdamW(wide.flat(), {.fused = false, .state_dtype = at::kBFloat16}),
                    titan::Error);
}
