#include "tests/support/catch.h"

#include "titan/optim/ema.h"
#include "titan/parallel/unit_gather.h"

#include "titan/base/check.h"

#include "tests/optim/flat_model.h"

using titan::optim::Ema;
using titan::parallel::FlatUnit;
using titan::testing::FlatModel;

namespace {
FlatModel::Shapes one_number() { return {{{"w", {1}}}}; }
void set_weight(FlatModel& model, double value) { model.flat()[0].master[0] = value; }
double average(const Ema& ema) { return ema.shadows()[0][0].item<double>(); }
}  // namespace

TEST_CASE("the average follows the weights by its decay, interval and start", "[optim]") {
  FlatModel model(one_number());
  set_weight(model, 1);
  Ema ema(*model.parameters, {.decay = 0.75, .interval = 2, .start_step = 3});
  REQUIRE(average(ema) == 1);
  set_weight(model, 5);
  ema.update(1);
  REQUIRE(average(ema) == 5);  // before the start: a copy
  set_weight(model, 9);
  ema.update(2);
  REQUIRE(average(ema) == 9);
  set_weight(model, 1);
  ema.update(3);
  REQUIRE(average(ema) == 9);  // not a multiple of the interval
  ema.update(4);
  REQUIRE(average(ema) == Approx(0.75 * 9 + 0.25 * 1));
}

TEST_CASE("a half-life halves what is old in that many steps", "[optim]") {
  titan::EmaSection section;
  section.half_life = 6;
  section.interval = 2;
  FlatModel model(one_number());
  set_weight(model, 1);
  Ema ema(*model.parameters, titan::optim::ema_options(section));
  set_weight(model, 0);
  for (int64_t step = 1; step <= 6; ++step) ema.update(step);
  REQUIRE(average(ema) == Approx(0.5));
  section.half_life.reset();
  REQUIRE(titan::optim::ema_options(section).decay == 0.9999);
}

TEST_CASE("swap exchanges weights and average and gives every bit back", "[optim]") {
  const at::ScalarType dtype = GENERATE(at::kFloat, at::kBFloat16);
  FlatModel model({{{"w", {1200, 1000}}, {"b", {3}}}, {}, {{"v", {5}}}}, dtype);
  Ema ema(*model.parameters, {.decay = 0.5});
  for (FlatUnit& unit : model.flat()) unit.master.mul_(-3);
  model.parameters->weights_changed();
  const auto weights = model.values(&FlatUnit::master);
  titan::parallel::UnitGather gather(*model.parameters, {}, {.num_units = 3});
  gather.before_forward(0);
  const at::Tensor leaf = model.units[0].parameters[0], computed_with = leaf.detach().clone();
  const at::Tensor old = ema.shadows()[0].clone();
  {
    const Ema::Scope scope(&ema);
    REQUIRE(torch::equal(model.flat()[0].master, old));
    // The model's leaf sees the averaged weights in the dtype it computes with.
    gather.before_forward(0);
    REQUIRE(torch::equal(leaf.detach().flatten(), old.narrow(0, 0, 1200000).to(dtype)));
    REQUIRE(torch::equal(ema.shadows()[0].narrow(0, 0, 1200000), weights[0]));
  }
  const auto restored = model.values(&FlatUnit::master);
  for (std::size_t i = 0; i < weights.size(); ++i) REQUIRE(torch::equal(restored[i], weights[i]));
  gather.before_forward(0);
  REQUIRE(torch::equal(leaf.detach(), computed_with));
  REQUIRE(torch::equal(ema.shadows()[0], old));
  const Ema::Scope nothing(nullptr);
}

TEST_CASE("an average with a decay of 1 is refused", "[optim]") {
  FlatModel model(one_number());
  REQUIRE_THROWS_AS(Ema(*model.parameters, {.decay = 1.0}), titan::Error);
}
