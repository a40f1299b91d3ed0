#include "tests/support/catch.h"

#include "titan/parallel/flat_parameters.h"

#include <cmath>
#include <limits>

#include <torch/types.h>
#include <torch/utils.h>

#include "titan/base/check.h"

using titan::parallel::FlatParameters;
using titan::parallel::FlatValues;
using titan::parallel::MasterWeights;

namespace {

FlatValues pairs(int64_t count) {
  return {torch::zeros({count}, at::kBFloat16), torch::zeros({count}, at::kShort)};
}
at::Tensor bits(const at::Tensor& values) { return values.contiguous().view(at::kInt); }

}  // namespace

TEST_CASE("a pair holds every bit of a float32", "[parallel]") {
  torch::manual_seed(1);
  const float inf = std::numeric_limits<float>::infinity();
  const at::Tensor odd =
      torch::tensor({0.0F, -0.0F, 1.0F, -1.0F, inf, -inf, std::numeric_limits<float>::denorm_min(),
                     std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(),
                     1.00390625F, 1.01171875F, -1.00390625F});
  const at::Tensor any = torch::randint(std::numeric_limits<int32_t>::min(),
                                        std::numeric_limits<int32_t>::max(), {200000}, at::kLong)
                             .to(at::kInt)
                             .view(at::kFloat);
  const at::Tensor values = torch::cat({odd, any.index({any.isfinite()})});
  const FlatValues kept = pairs(values.numel());
  kept.assign(values);
  REQUIRE(torch::equal(bits(kept.values()), bits(values)));
  REQUIRE(kept.dtype() == at::kFloat);
  REQUIRE(kept.nbytes() == 4 * values.numel());
  // The upper half is a nearest bfloat16: LibTorch's, but for halves, which go away from zero.
  const at::Tensor theirs = values.to(at::kBFloat16), exact = values.to(at::kDouble);
  const at::Tensor differs = kept.stored.to(at::kFloat).ne(theirs.to(at::kFloat));
  REQUIRE(torch::equal((kept.stored.to(at::kDouble) - exact).abs().index({differs}),
                       (theirs.to(at::kDouble) - exact).abs().index({differs})));
  REQUIRE(kept.stored[9].item<float>() == 1.0078125F);  // halfway between 1 and it
  REQUIRE(differs.sum().item<int64_t>() < values.numel() / 1000);
  // A part shares storage.
  kept.narrow(3, 2).assign(torch::tensor({0.1F, 0.2F}));
  REQUIRE(kept.values()[3].item<float>() == 0.1F);
  REQUIRE(kept.values()[4].item<float>() == 0.2F);
  REQUIRE(kept.values()[5].item<float>() == -inf);
}

TEST_CASE("values without a remainder are the storage; assigning rounds", "[parallel]") {
  const FlatValues wide{torch::zeros({4})};
  REQUIRE(wide.values().data_ptr() == wide.stored.data_ptr());
  wide.assign(torch::tensor({1.0F, 2.0F, 3.0F, 0.1F}).to(at::kBFloat16));
  REQUIRE(wide.values()[2].item<float>() == 3.0F);
  const FlatValues narrow{torch::zeros({1}, at::kBFloat16)};
  narrow.assign(torch::full({1}, 0.1F));
  REQUIRE(torch::equal(narrow.values(), torch::full({1}, 0.1F).to(at::kBFloat16)));
}

TEST_CASE("weights in bfloat16 are what the model reads, from the same start", "[parallel]") {
  const MasterWeights kept = GENERATE(MasterWeights::kRemainder, MasterWeights::kStochastic);
  torch::manual_seed(2);
  const at::Tensor start = torch::randn({5, 7});
  const auto units = [&] {
    return std::vector<titan::ModelUnit>{
        {.name = "u", .parameter_names = {"w"}, .parameters = {start.clone().requires_grad_()}}};
  };
  std::vector<titan::ModelUnit> model = units();
  FlatParameters flat(model, {.compute_dtype = at::kBFloat16, .master = kept});
  const auto& unit = flat.units()[0];
  REQUIRE(unit.master.scalar_type() == at::kBFloat16);
  REQUIRE(unit.remainder.defined() == (kept == MasterWeights::kRemainder));
  // No copy of them: 2 bytes a weight, which the leaf views.
  REQUIRE(model[0].parameters[0].data_ptr() == unit.master.data_ptr());
  const at::Tensor values = unit.weights().values().narrow(0, 0, 35).to(at::kFloat);
  if (kept == MasterWeights::kRemainder) {
    REQUIRE(torch::equal(values, start.flatten()));
  } else {
    REQUIRE(torch::equal(values, start.flatten().to(at::kBFloat16).to(at::kFloat)));
  }
  std::vector<titan::ModelUnit> wide = units();
  REQUIRE_THROWS_AS(FlatParameters(wide, {.master = kept}), titan::Error);
  // A slice of a sharded unit is memory of its own.
  std::vector<titan::ModelUnit> cut = units();
  FlatParameters second(cut, {.compute_dtype = at::kBFloat16,
                              .shard = {.rank = 1, .ranks = 2},
                              .resident = false,
                              .master = kept});
  REQUIRE(second.units()[0].first_element == second.layouts()[0].shard_length);
}
