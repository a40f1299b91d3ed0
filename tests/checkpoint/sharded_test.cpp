#include <filesystem>

#include "tests/checkpoint/ranks_of_save.h"
#include "tests/support/catch.h"
#include "titan/checkpoint/layout_roles.h"
#include "titan/checkpoint/shared_folder.h"

namespace titan::checkpoint {
namespace {

namespace fs = std::filesystem;
using titan::testing::all_hold;
using titan::testing::ExchangeFunction;
using titan::testing::manager_of;
using titan::testing::on_ranks;
using titan::testing::sharded_state;
using titan::testing::slurp;
using titan::testing::TemporaryFolder;

/// Each rank's result of saving the state of `step`, cut into `shards`, on `ranks` ranks.
std::vector<Status> save_sharded(const std::string& folder, int64_t ranks, int64_t shards,
                                 int64_t step, bool wide = false, bool beside = false) {
  std::vector<Status> results(static_cast<std::size_t>(ranks));
  on_ranks(static_cast<std::size_t>(ranks), [&](int64_t rank, ExchangeFunction exchange) {
    CheckpointManager manager = manager_of(folder, rank, std::move(exchange));
    const auto items = sharded_state(rank, shards, step, wide);
    const CheckpointMeta meta{.step = step, .cursor = 8 * step, .world_size = ranks};
    Status& result = results[static_cast<std::size_t>(rank)];
    if (!beside) {
      result = manager.save(meta, items);
      return;
    }
    result = manager.start_save(meta, items);
    for (const CheckpointItem& item : items) item.flat.fill_(-7);  // training goes on
    if (result.ok()) result = manager.finish().status();
  });
  return results;
}

/// Each rank's result of loading; what was loaded must be the state of `step` where all are ok.
std::vector<Status> load_sharded(const std::string& folder, int64_t ranks, int64_t shards,
                                 int64_t step, bool wide = false, int threads = 1) {
  std::vector<Status> results(static_cast<std::size_t>(ranks));
  on_ranks(static_cast<std::size_t>(ranks), [&](int64_t rank, ExchangeFunction exchange) {
    const CheckpointManager manager = manager_of(folder, rank, std::move(exchange), 0, threads);
    const auto items = sharded_state(rank, shards, -1, wide);
    Status& result = results[static_cast<std::size_t>(rank)];
    result = manager.load(items).status();
    if (result.ok() && !all_hold(items, step)) result = internal_error("other values");
  });
  return results;
}

void require_ok(const std::vector<Status>& results) {
  for (const Status& status : results) {
    INFO(status.ToString());
    REQUIRE(status.ok());
  }
}

}  // namespace

TEST_CASE("What 1, 2, 3, 4 or 8 ranks saved loads on 1, 2, 3 and 8", "[checkpoint]") {
  for (const bool beside : {false, true}) {
    for (const int64_t ranks : {1, 2, 3, 4, 8}) {
      const TemporaryFolder folder;
      require_ok(save_sharded(folder.path().string(), ranks, ranks, 5, /*wide=*/false, beside));
      for (const int64_t others : {1, 2, 3, 8}) {
        CAPTURE(beside, ranks, others);
        require_ok(load_sharded(folder.path().string(), others, others, 5));
      }
    }
  }
}

TEST_CASE("Files of several blocks load on any layout and any number of threads", "[checkpoint]") {
  const TemporaryFolder folder;
  require_ok(save_sharded(folder.path().string(), 4, 4, 9, /*wide=*/true));
  const auto reader = CheckpointReader::open(folder.file("step-000009"));
  REQUIRE(reader.ok());
  REQUIRE(reader->verify(2).ok());
  for (const int64_t others : {1, 3, 8})
    for (const int threads : {1, 3})
      require_ok(load_sharded(folder.path().string(), others, others, 9, /*wide=*/true, threads));
}

TEST_CASE("The first replica of each shard writes, the others do not", "[checkpoint]") {
  const auto files = [](const TemporaryFolder& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder.file("step-000003")))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  };
  const TemporaryFolder hybrid, replicated;
  require_ok(save_sharded(hybrid.path().string(), 6, 2, 3));  // HSDP: 3 replicas of 2 shards
  REQUIRE(files(hybrid) == std::vector<std::string>{"index.json", "rank-00000.safetensors",
                                                    "rank-00001.safetensors"});
  require_ok(load_sharded(hybrid.path().string(), 4, 2, 3));
  require_ok(save_sharded(replicated.path().string(), 3, 1, 3));  // DDP
  REQUIRE(files(replicated) == std::vector<std::string>{"index.json", "rank-00000.safetensors"});
  require_ok(load_sharded(replicated.path().string(), 3, 1, 3));
}

TEST_CASE("Ranks of one host that hold the same share the hashing", "[checkpoint]") {
  std::vector<LayoutRoles> roles(6);
  on_ranks(6, [&](int64_t rank, ExchangeFunction exchange) {
    // 3 replicas of 2 shards; the last replica lies on another machine.
    const auto found =
        find_roles(sharded_state(rank, 2), {rank, std::move(exchange)}, rank < 4 ? "one" : "two");
    roles[static_cast<std::size_t>(rank)] = *found;
  });
  const auto share = [&](std::size_t rank) {
    return std::pair(roles[rank].verify.index, roles[rank].verify.count);
  };
  REQUIRE(share(0) == std::pair<uint64_t, uint64_t>(0, 2));
  REQUIRE(share(2) == std::pair<uint64_t, uint64_t>(1, 2));
  REQUIRE(share(3) == std::pair<uint64_t, uint64_t>(1, 2));
  REQUIRE(share(4) == std::pair<uint64_t, uint64_t>(0, 1));
  for (std::size_t rank = 0; rank < 6; ++rank) {
    REQUIRE_FALSE(roles[rank].first_writes_all);
    for (const bool writes : roles[rank].writes) REQUIRE(writes == (rank < 2));
  }
}

TEST_CASE("A flipped byte is found by whoever reads it, and told to all", "[checkpoint]") {
  const TemporaryFolder folder;
  require_ok(save_sharded(folder.path().string(), 2, 2, 4, /*wide=*/true));
  const std::string path = folder.file("step-000004/rank-00001.safetensors");
  const std::string whole = slurp(path);
  REQUIRE(whole.size() > 2 * kBlockBytes);
  for (const std::size_t at : {std::size_t{9}, kBlockBytes - 1, kBlockBytes, whole.size() - 3}) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    folder.write("step-000004/rank-00001.safetensors", bytes);
    for (const int64_t ranks : {1, 4}) {  // 4 replicas: each hashes a quarter of the blocks
      CAPTURE(at, ranks);
      for (const Status& status : load_sharded(folder.path().string(), ranks, 1, 4, true)) {
        INFO(status.ToString());
        REQUIRE(exit_code_for(status) == 2);
        REQUIRE(message_of(status).find(path) != std::string::npos);
        REQUIRE(message_of(status).find("XXH3-128") != std::string::npos);
        REQUIRE(message_of(status).find("No older checkpoint is whole") != std::string::npos);
      }
    }
  }
}

TEST_CASE("A rank reads only what it needs", "[checkpoint]") {
  const TemporaryFolder folder;
  require_ok(save_sharded(folder.path().string(), 4, 4, 4, /*wide=*/true));
  fs::resize_file(folder.file("step-000004/rank-00003.safetensors"), 100);
  const CheckpointManager manager = manager_of(folder.path().string(), 0, {});
  const auto first = sharded_state(0, 4, -1, /*wide=*/true);
  REQUIRE(manager.load(first).ok());
  REQUIRE(all_hold(first, 4));
  REQUIRE_FALSE(manager.load(sharded_state(3, 4, -1, /*wide=*/true)).ok());
}

TEST_CASE("A missing shard and another model's shapes are named", "[checkpoint]") {
  const TemporaryFolder folder;
  require_ok(save_sharded(folder.path().string(), 3, 3, 4));
  auto other = sharded_state(0, 1);
  other[1].fragments[0].shape = {9, 13};
  const CheckpointManager manager = manager_of(folder.path().string(), 0, {});
  const Status shapes = manager.load(other).status();
  INFO(shapes.ToString());
  REQUIRE(exit_code_for(shapes) == 2);
  REQUIRE(message_of(shapes).find("model.blocks.0.w has another shape") != std::string::npos);
  REQUIRE(message_of(shapes).find("[13, 9]") != std::string::npos);
  const std::string path = folder.file("step-000004/rank-00002.safetensors");
  fs::remove(path);
  for (const Status& status : load_sharded(folder.path().string(), 2, 2, 4)) {
    INFO(status.ToString());
    REQUIRE(exit_code_for(status) == 2);
    REQUIRE(message_of(status).find(path) != std::string::npos);
  }
}

TEST_CASE("A fragment that no rank holds fails the save and names the tensor", "[checkpoint]") {
  const TemporaryFolder folder;
  std::vector<Status> results(2);
  on_ranks(2, [&](int64_t rank, ExchangeFunction exchange) {
    const CheckpointManager manager = manager_of(folder.path().string(), rank, std::move(exchange));
    results[static_cast<std::size_t>(rank)] = manager.save({.step = 1}, sharded_state(rank, 3, 1));
  });
  for (const Status& status : results) {
    INFO(status.ToString());
    REQUIRE(message_of(status).find("elements of ") != std::string::npos);
  }
  REQUIRE(fs::is_empty(folder.path()));
}

TEST_CASE("A folder that not all nodes share is refused, with their names", "[checkpoint]") {
  const TemporaryFolder here, there;
  std::vector<Status> results(3);
  on_ranks(3, [&](int64_t rank, ExchangeFunction exchange) {
    const std::string folder = rank == 2 ? there.path().string() : here.path().string();
    results[static_cast<std::size_t>(rank)] =
        CheckpointManager::open({.folder = folder, .rank = rank, .exchange = std::move(exchange)})
            .status();
  });
  for (const Status& status : results) {
    INFO(status.ToString());
    REQUIRE(exit_code_for(status) == 2);
    REQUIRE(message_of(status).find("rank 2 on ") != std::string::npos);
    REQUIRE(message_of(status).find("rank 1 on ") == std::string::npos);
    REQUIRE(message_of(status).find("all nodes share") != std::string::npos);
  }
  REQUIRE(fs::is_empty(here.path()));
}

}  // namespace titan::checkpoint
