#include "tests/support/catch.h"

#include "titan/plan/dry_run.h"
#include "titan/plan/engine_walk.h"

using namespace titan::plan;
using titan::parallel::lay_out_unit;
using titan::parallel::Reshard;
using titan::parallel::UnitLayout;

namespace {

/// embed, n equal blocks, head: 1024 elements each.
std::vector<UnitLayout> equal_units(std::size_t blocks, int64_t shard_ranks) {
  std::vector<UnitLayout> units;
  for (std::size_t i = 0; i < blocks + 2; ++i)
    units.push_back(
        lay_out_unit("u" + std::to_string(i), {{"w" + std::to_string(i), {1024}}}, shard_ranks));
  return units;
}
constexpr int64_t kUnit = 1024 * 4;

}  // namespace

TEST_CASE("static bytes of each layout", "[plan]") {
  const auto whole = equal_units(2, 1), sliced = equal_units(2, 4);
  const int64_t model = 4 * kUnit;
  const StaticBytes one = static_bytes(whole, {}, /*averages=*/true);
  CHECK(one.total() == 5 * model);  // weights, gradients, two moments, averages
  const StaticBytes fsdp = static_bytes(sliced, {.shard_ranks = 4, .resident = false}, false);
  CHECK(fsdp.total() == model);  // four quarters
  const StaticBytes zero1 = static_bytes(sliced, {.shard_ranks = 4}, false);
  CHECK(zero1.parameters == model);
  CHECK(zero1.whole_gradients == model);
  CHECK(zero1.moments == model / 2);
  CHECK(zero1.master == 0);  // the slice of the whole weights
  const StaticBytes bf16 = static_bytes(sliced, {.shard_ranks = 4, .compute_size = 2}, false);
  CHECK(bf16.parameters == model / 2);
  CHECK(bf16.master == model / 4);
  // bfloat16 weights that the model reads, 16 bits beside them, bfloat16 gradients and moments.
  const StaticBytes ten = static_bytes(whole,
                                       {.compute_size = 2,
                                        .reduce_size = 2,
                                        .weight_size = 2,
                                        .remainder_size = 2,
                                        .gradient_size = 2,
                                        .moment_size = 2},
                                       false);
  CHECK(ten.total() == 10 * (model / 4));
  CHECK(ten.master == 2 * (model / 4));
  const StaticBytes kept =
      static_bytes(sliced, {.shard_ranks = 4, .resident = false, .accumulation = 2}, false);
  CHECK(kept.whole_gradients == model);
}

TEST_CASE("slots follow prefetch, resharding and messages under way", "[plan]") {
  const auto slots = [](Reshard reshard, int64_t prefetch) {
    const auto units = equal_units(6, 4);
    LiveBytes live;
    EngineWalk walk(units,
                    {.shard_ranks = 4, .resident = false, .reshard = reshard, .prefetch = prefetch},
                    live);
    for (int step = 0; step < 2; ++step) walk_units(walk, units.size(), 1);
    CHECK(live.now == 0);
    CHECK(live.peak == 0);  // nothing is copied in flight
    // Eight units are gathered in forward; in backward all but those kept, and with a step's slots
    // at hand nothing more is made.
    return std::pair{walk.gather_slot_bytes() / kUnit, walk.message_slot_bytes() / kUnit};
  };
  CHECK(slots(Reshard::kAlways, 0) == std::pair<int64_t, int64_t>{1, 3});
  CHECK(slots(Reshard::kAlways, 2) == std::pair<int64_t, int64_t>{3, 3});
  CHECK(slots(Reshard::kNever, 1).first == 8);
  CHECK(slots(Reshard::kDefault, 1).first ==
        2);  // last block and head stay; then one comes for one
}

TEST_CASE("Gloo holds a copy of what is under way", "[plan]") {
  const auto units = equal_units(3, 2);
  LiveBytes live;
  EngineWalk walk(units, {.shard_ranks = 2, .resident = false, .copies_in_flight = true}, live);
  walk_units(walk, units.size(), 1);
  CHECK(live.now == 0);
  CHECK(live.peak == 4 * kUnit);  // three gradients at the moment of the third, one gather
  CHECK(walk.gathered_bytes() == (5 + 3) * kUnit);  // the last two stay whole for backward
  CHECK(walk.reduced_bytes() == 5 * kUnit);
}
