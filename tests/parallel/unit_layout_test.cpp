#include "tests/support/catch.h"

#include "titan/parallel/unit_layout.h"

#include "titan/base/check.h"
#include "titan/parallel/gather_schedule.h"
#include "titan/parallel/slot_table.h"

using titan::parallel::Fragment;
using titan::parallel::fragments_of;
using titan::parallel::GatherSchedule;
using titan::parallel::lay_out_unit;
using titan::parallel::Reshard;
using titan::parallel::SlotTable;

TEST_CASE("Slices of all ranks make up every parameter once", "[parallel]") {
  const int64_t ranks = GENERATE(1, 2, 3, 7, 64);
  const auto layout =
      lay_out_unit("block.0", {{"a", {3, 5}}, {"b", {}}, {"c", {0, 4}}, {"d", {100, 7}}}, ranks);
  REQUIRE(layout.num_parameters() == 15 + 1 + 0 + 700);
  REQUIRE(layout.length == layout.shard_length * ranks);
  REQUIRE(layout.shard_length % 32 == 0);
  std::map<std::string, int64_t> seen;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    for (const Fragment& fragment : fragments_of(layout, rank)) {
      REQUIRE(fragment.global_offset == seen[fragment.name]);  // in order, without gap or overlap
      REQUIRE(fragment.local_offset + fragment.length <= layout.shard_length);
      seen[fragment.name] += fragment.length;
    }
  }
  REQUIRE(seen == std::map<std::string, int64_t>{{"a", 15}, {"b", 1}, {"d", 700}});
}

TEST_CASE("Parameters start on 64-byte boundaries of any dtype", "[parallel]") {
  for (const Fragment& parameter :
       lay_out_unit("u", {{"a", {33}}, {"b", {1}}, {"c", {2}}}, 3).parameters)
    REQUIRE(parameter.local_offset % 32 == 0);
}

TEST_CASE("A slot is used again by what fits best, in the same order each time", "[parallel]") {
  SlotTable table;
  const auto large = table.acquire(100), small = table.acquire(10);
  table.release(large);
  table.release(small);
  REQUIRE(table.acquire(10) == small);
  REQUIRE(table.acquire(10) == large);
  const auto third = table.acquire(10);
  REQUIRE(table.total_bytes() == 120);
  table.release(third);
  REQUIRE_THROWS_AS(table.release(third), titan::Error);
}

TEST_CASE("The schedule gathers ahead and keeps what backward begins with", "[parallel]") {
  using Units = std::vector<std::size_t>;
  const GatherSchedule schedule{.num_units = 5, .reshard = Reshard::kDefault, .prefetch = 2};
  REQUIRE(schedule.wanted_forward(0) == Units{0, 1, 2});
  REQUIRE(schedule.wanted_forward(4) == Units{4});
  REQUIRE(schedule.wanted_backward(4) == Units{4, 3, 2});
  REQUIRE(schedule.wanted_backward(1) == Units{1, 0});
  REQUIRE_FALSE(schedule.keeps(2));
  REQUIRE(schedule.keeps(3));
  REQUIRE(schedule.keeps(4));
  REQUIRE_FALSE(GatherSchedule{.num_units = 5, .reshard = Reshard::kAlways}.keeps(4));
  REQUIRE(GatherSchedule{.num_units = 5, .reshard = Reshard::kNever}.keeps(0));
  REQUIRE_FALSE(titan::parallel::reshard_from_name("sometimes").ok());
}
