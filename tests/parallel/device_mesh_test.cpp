#include "tests/support/catch.h"

#include "titan/parallel/device_mesh.h"

#include "titan/base/check.h"

using titan::ParallelismSection;
using titan::parallel::DeviceMesh;
using titan::parallel::ParallelDims;
using titan::parallel::resolve_parallel_dims;

namespace {

ParallelismSection degrees(int64_t replicate, int64_t shard) {
  ParallelismSection section;
  section.data_parallel_replicate_degree = replicate;
  section.data_parallel_shard_degree = shard;
  return section;
}

std::string refusal(const ParallelismSection& section, int64_t world_size) {
  const auto dims = resolve_parallel_dims(section, world_size);
  REQUIRE_FALSE(dims.ok());
  REQUIRE(titan::exit_code_for(dims.status()) == 2);
  return titan::message_of(dims.status());
}

}  // namespace

TEST_CASE("Degrees resolve to the world size, -1 is the rest", "[parallel]") {
  const auto [replicate, shard, world] = GENERATE(table<int64_t, int64_t, int64_t>({{1, 1, 1},
                                                                                    {1, -1, 1},
                                                                                    {4, 1, 4},
                                                                                    {-1, 1, 6},
                                                                                    {2, -1, 8},
                                                                                    {1, -1, 8},
                                                                                    {8, -1, 8},
                                                                                    {-1, 4, 8},
                                                                                    {2, 4, 8}}));
  const ParallelDims dims = resolve_parallel_dims(degrees(replicate, shard), world).value();
  REQUIRE(dims.world_size() == world);
  REQUIRE(dims.dp_size() == world);
  REQUIRE(dims.dp_replicate == (replicate == -1 ? world / shard : replicate));
}

TEST_CASE("Degrees that do not fit are refused with the numbers", "[parallel]") {
  using Catch::Matchers::Contains;
  REQUIRE_THAT(refusal(degrees(3, 1), 8), Contains("(replicate=3, shard=1, world_size=8)"));
  REQUIRE_THAT(refusal(degrees(3, -1), 8), Contains("(replicate=3, shard=-1, world_size=8)"));
  REQUIRE_THAT(refusal(degrees(2, 1), 1), Contains("(replicate=2, shard=1, world_size=1)"));
  REQUIRE_THAT(refusal(degrees(-1, -1), 4), Contains("only one degree may be -1"));
  REQUIRE_THAT(refusal(degrees(1, 2), 3), Contains("(replicate=1, shard=2, world_size=3)"));
  REQUIRE_THAT(refusal(degrees(0, 1), 2), Contains("must be -1 or at least 1"));
  ParallelismSection tensor_parallel;
  tensor_parallel.tensor_parallel_degree = 2;
  REQUIRE_THAT(refusal(tensor_parallel, 2), Contains("tensor_parallel_degree must be 1"));
}

TEST_CASE("DeviceMesh numbers ranks row-major and keeps rank order inside a group", "[parallel]") {
  const ParallelDims dims{.dp_replicate = 2, .dp_shard = 3, .tp = 2};
  const DeviceMesh mesh(dims, 9);  // replicate 1, shard 1, tp 1
  REQUIRE(mesh.coordinate("dp_replicate") == 1);
  REQUIRE(mesh.coordinate("dp_shard") == 1);
  REQUIRE(mesh.coordinate("tp") == 1);
  REQUIRE(mesh.coordinate("pp") == 0);
  REQUIRE(mesh.dp_rank() == 4);
  REQUIRE(mesh.dp_size() == 6);
  REQUIRE(mesh.group("dp_shard") == std::vector<int64_t>{7, 9, 11});
  REQUIRE(mesh.group("dp_replicate") == std::vector<int64_t>{3, 9});
  REQUIRE(mesh.group("tp") == std::vector<int64_t>{8, 9});
  REQUIRE(mesh.group("pp") == std::vector<int64_t>{9});
  REQUIRE(mesh.group("dp") == std::vector<int64_t>{1, 3, 5, 7, 9, 11});
  REQUIRE(mesh.size("dp") == 6);
  REQUIRE(mesh.coordinate("dp") == 4);
  REQUIRE(mesh.size("dp_shard_cp") == 3);
  REQUIRE_THROWS_WITH(mesh.coordinate("dq"), Catch::Matchers::Contains("no axis \"dq\""));
  REQUIRE_THROWS_WITH(DeviceMesh(dims, 12),
                      Catch::Matchers::Contains("rank outside the mesh (rank=12, world_size=12)"));
}
