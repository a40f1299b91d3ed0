#include "tests/support/catch.h"

#include <chrono>

#include "titan/plan/dry_run.h"

using namespace titan::plan;
using titan::parallel::lay_out_unit;
using titan::parallel::ParameterShape;
using titan::parallel::UnitLayout;

namespace {

/// Units of odd sizes, one parameter smaller than a slice, one empty unit.
std::vector<UnitLayout> units(int64_t shard_ranks, int64_t blocks) {
  std::vector<UnitLayout> all;
  all.push_back(lay_out_unit("embed", {{"in.weight", {7, 13}}, {"in.bias", {13}}}, shard_ranks));
  for (int64_t i = 0; i < blocks; ++i) {
    const std::string name = "block." + std::to_string(i);
    all.push_back(lay_out_unit(name,
                               {{name + ".a", {61 + i, 17}},
                                {name + ".b", {3}},
                                {name + ".frozen", {5, 5}, /*trainable=*/false},
                                {name + ".c", {129, 33}}},
                               shard_ranks));
  }
  all.push_back(lay_out_unit("head", {}, shard_ranks));
  return all;
}

}  // namespace

TEST_CASE("every rank's plan covers every parameter once, whatever the mesh", "[plan]") {
  for (const auto& [replicate, shard] :
       {std::pair<int64_t, int64_t>{1, 1}, {1, 3}, {4, 1}, {2, 5}, {3, 8}}) {
    const EngineShape shape{.shard_ranks = shard, .replicas = replicate, .resident = shard == 1};
    const auto run =
        dry_run(units(shard, 4), {.dp_replicate = replicate, .dp_shard = shard}, shape);
    INFO(replicate << " x " << shard);
    REQUIRE(run.ok());
    CHECK(run->ranks == replicate * shard);
    CHECK(run->groups == (shard > 1 ? 2 * replicate : 0) + (replicate > 1 ? shard : 0));
    CHECK((run->gather_slots > 0) == (shard > 1));
  }
}

TEST_CASE("a dry run finds what is held twice or not at all", "[plan]") {
  const titan::parallel::ParallelDims dims{.dp_shard = 4};
  const EngineShape shape{.shard_ranks = 4, .resident = false};
  const auto problem = [&](const std::vector<UnitLayout>& layouts) {
    const auto run = dry_run(layouts, dims, shape);
    return run.ok() ? "" : titan::message_of(run.status());
  };
  CHECK(problem(units(4, 2)) == "");
  std::vector<UnitLayout> cut = units(4, 2);
  cut[1].shard_length -= 64;  // the last slice ends before the last parameter does
  CHECK(problem(cut).find("block.0.c 4") != std::string::npos);
  std::vector<UnitLayout> doubled = units(4, 2);
  doubled[2].parameters[1] = doubled[2].parameters[0];
  CHECK(problem(doubled).find("block.1.a is held from element 0 on") != std::string::npos);
}

TEST_CASE("a thousand ranks are laid out in seconds", "[plan]") {
  const auto start = std::chrono::steady_clock::now();
  const auto run = dry_run(units(64, 57), {.dp_replicate = 16, .dp_shard = 64},
                           {.shard_ranks = 64, .replicas = 16, .resident = false});
  REQUIRE(run.ok());
  CHECK(run->ranks == 1024);
  CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < 20);
}
