#include "titan/checkpoint/checkpoint_manager.h"

#include <filesystem>
#include <thread>

#include "tests/checkpoint/ranks_of_save.h"
#include "tests/support/catch.h"

namespace titan::checkpoint {
namespace {

namespace fs = std::filesystem;
using titan::testing::all_hold;
using titan::testing::fill;
using titan::testing::holds;
using titan::testing::slice_of;
using titan::testing::small_state;
using titan::testing::small_tensors;
using titan::testing::small_total;
using titan::testing::TemporaryFolder;

CheckpointManager manager_in(const std::string& folder, int64_t keep = 0) {
  auto manager = CheckpointManager::open({.folder = folder, .keep_latest_k = keep});
  REQUIRE(manager.ok());
  return *std::move(manager);
}

/// Cuts the state evenly over threads that play ranks and saves it; returns each rank's result.
/// `folder_made` runs on each rank when the temporary folder is there and nothing is written yet.
std::vector<Status> save_on_ranks(const std::string& folder, std::size_t ranks, int64_t step,
                                  const std::function<void(std::size_t)>& folder_made = {}) {
  titan::testing::ThreadExchange exchange(ranks);
  std::vector<Status> results(ranks);
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      auto manager = CheckpointManager::open(
          {.folder = folder,
           .rank = static_cast<int64_t>(rank),
           .exchange = [&exchange, &folder_made, &folder, step, made = false, rank](
                           const std::string& text) mutable -> StatusOr<std::vector<std::string>> {
             const auto texts = exchange(rank, text);
             const bool now = fs::exists(CheckpointFolder(folder).temporary_path(step));
             if (now && folder_made && !std::exchange(made, true)) folder_made(rank);
             return texts;
           }});
      const auto share = [&](std::size_t r) {
        return small_total() * static_cast<int64_t>(r) / static_cast<int64_t>(ranks);
      };
      std::vector<CheckpointItem> items;
      for (const char* prefix : {"model", "ema", "optim.exp_avg"}) {
        items.push_back(slice_of(prefix, small_tensors(), share(rank), share(rank + 1)));
        fill(items.back(), step);
      }
      results[rank] =
          manager->save({.step = step, .world_size = static_cast<int64_t>(ranks)}, items);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

}  // namespace

TEST_CASE("A checkpoint gives back every bit and the run's place", "[checkpoint]") {
  const TemporaryFolder folder;
  const CheckpointManager manager = manager_in(folder.file("checkpoint"));
  REQUIRE_FALSE(manager.latest_step()->has_value());
  auto items = small_state(100);
  auto* data = items[0].flat.mutable_data_ptr<float>();
  data[0] = std::numeric_limits<float>::quiet_NaN();
  data[1] = -0.0F;
  data[2] = std::numeric_limits<float>::denorm_min();
  const CheckpointMeta meta{
      .step = 100, .cursor = 3200, .seed = 17, .world_size = 4, .fingerprints = {{"model", "m"}}};
  REQUIRE(manager.save(meta, items).ok());
  REQUIRE(fs::exists(folder.file("checkpoint/step-000100/index.json")));
  REQUIRE(fs::exists(folder.file("checkpoint/step-000100/rank-00000.safetensors")));
  REQUIRE(**manager.latest_step() == 100);

  auto loaded = small_state();
  const auto read = manager.load(loaded);
  REQUIRE(read.ok());
  REQUIRE(read->cursor == 3200);
  REQUIRE(read->seed == 17);
  REQUIRE(read->world_size == 4);
  REQUIRE(read->fingerprints == meta.fingerprints);
  for (std::size_t i = 0; i < items.size(); ++i)
    for (const parallel::Fragment& fragment : items[i].fragments)
      REQUIRE(std::memcmp(items[i].flat.const_data_ptr<float>() + fragment.local_offset,
                          loaded[i].flat.const_data_ptr<float>() + fragment.local_offset,
                          static_cast<std::size_t>(fragment.length) * sizeof(float)) == 0);
}

TEST_CASE("Any layout loads what any layout saved", "[checkpoint]") {
  for (const std::size_t ranks : {1, 2, 3, 5}) {
    const TemporaryFolder folder;
    for (const Status& status : save_on_ranks(folder.path().string(), ranks, 7))
      REQUIRE(status.ok());
    REQUIRE(
        fs::exists(folder.file("step-000007/" + rank_file_name(static_cast<int64_t>(ranks) - 1))));
    const CheckpointManager manager = manager_in(folder.path().string());
    auto whole = small_state();
    REQUIRE(manager.load(whole)->world_size == static_cast<int64_t>(ranks));
    REQUIRE(all_hold(whole, 7));
    for (int64_t begin = 0; begin < small_total(); begin += 13) {
      auto part = slice_of("ema", small_tensors(), begin, std::min(begin + 29, small_total()));
      REQUIRE(manager.load({part}).ok());
      REQUIRE(holds(part, 7));
    }
  }
}

TEST_CASE("Two fragments of one tensor may lie in one file", "[checkpoint]") {
  const TemporaryFolder folder;
  const CheckpointManager manager = manager_in(folder.path().string());
  std::vector<CheckpointItem> items = {slice_of("model", small_tensors(), 0, 20),
                                       slice_of("model", small_tensors(), 20, small_total())};
  for (CheckpointItem& item : items) fill(item, 3);
  REQUIRE(manager.save({.step = 3}, items).ok());
  auto whole = slice_of("model", small_tensors(), 0, small_total());
  REQUIRE(manager.load({whole}).ok());
  REQUIRE(holds(whole, 3));
}

TEST_CASE("A rank that cannot write fails the checkpoint on all ranks", "[checkpoint]") {
  const TemporaryFolder folder;
  for (const Status& status : save_on_ranks(folder.path().string(), 3, 5)) REQUIRE(status.ok());
  const auto block_rank_1 = [&](std::size_t rank) {
    if (rank == 1) fs::create_directory(folder.file(".tmp-step-000006/" + rank_file_name(1)));
  };
  const std::vector<Status> results = save_on_ranks(folder.path().string(), 3, 6, block_rank_1);
  for (const Status& status : results) REQUIRE_FALSE(status.ok());
  REQUIRE(*CheckpointFolder(folder.path().string()).steps() == std::vector<int64_t>{5});
  REQUIRE_FALSE(fs::exists(folder.file(".tmp-step-000006")));
}

TEST_CASE("Only the latest k stay; unfinished folders go at the next start", "[checkpoint]") {
  const TemporaryFolder folder;
  {
    const CheckpointManager manager = manager_in(folder.path().string(), 2);
    for (const int64_t step : {10, 20, 30, 40})
      REQUIRE(manager.save({.step = step}, small_state(step)).ok());
    REQUIRE(*manager.steps() == std::vector<int64_t>{30, 40});
  }
  folder.write(".tmp-step-000050/rank-00000.safetensors", "half");
  folder.write("step-000060.txt", "not a checkpoint");
  folder.write("step-7/index.json", "nor this");
  const CheckpointManager manager = manager_in(folder.path().string(), 2);
  REQUIRE_FALSE(fs::exists(folder.file(".tmp-step-000050")));
  REQUIRE(*manager.steps() == std::vector<int64_t>{30, 40});
}

TEST_CASE("Going on from an older step hides the course that was given up", "[checkpoint]") {
  const TemporaryFolder folder;
  const CheckpointManager manager = manager_in(folder.path().string(), 2);
  for (const int64_t step : {10, 20, 30})
    REQUIRE(manager.save({.step = step}, small_state(step)).ok());
  auto items = small_state();
  REQUIRE(manager.load(items, 20)->step == 20);
  REQUIRE(all_hold(items, 20));
  REQUIRE(manager.save({.step = 25}, small_state(25)).ok());
  REQUIRE(*manager.steps() == std::vector<int64_t>{20, 25});
  REQUIRE(fs::exists(folder.file(".abandoned-step-000030/index.json")));
}

TEST_CASE("A checkpoint of the same step is replaced in one go", "[checkpoint]") {
  const TemporaryFolder folder;
  const CheckpointManager manager = manager_in(folder.path().string());
  REQUIRE(manager.save({.step = 10}, small_state(10)).ok());
  REQUIRE(manager.save({.step = 10, .cursor = 5}, small_state(11)).ok());
  auto items = small_state();
  REQUIRE(manager.load(items)->cursor == 5);
  REQUIRE(all_hold(items, 11));
  for (const auto& entry : fs::directory_iterator(folder.path()))
    REQUIRE(entry.path().filename() == "step-000010");
}

TEST_CASE("What does not fit is named", "[checkpoint]") {
  const TemporaryFolder folder;
  const CheckpointManager manager = manager_in(folder.path().string());
  REQUIRE(message_of(manager.open_step().status()).find("there is no checkpoint in ") !=
          std::string::npos);
  REQUIRE(manager.save({.step = 10}, small_state(10)).ok());
  const auto failure = [&](CheckpointItem item) {
    const auto result = manager.load({std::move(item)});
    REQUIRE(exit_code_for(result.status()) == 2);
    return message_of(result.status());
  };
  CheckpointItem item = slice_of("model", {{"blocks.0.b", {12}}}, 0, 12);
  REQUIRE(failure(item).find("model.blocks.0.b has another shape") != std::string::npos);
  REQUIRE(failure(item).find("[11], in this run: [12]") != std::string::npos);
  item = slice_of("model", {{"blocks.1.b", {11}}}, 0, 11);
  REQUIRE(failure(item).find("has no tensor model.blocks.1.b") != std::string::npos);
  item = slice_of("model", {{"blocks.0.b", {11}}}, 0, 11);
  item.flat = item.flat.to(at::kDouble);
  REQUIRE(failure(item).find("model.blocks.0.b has another type") != std::string::npos);
  REQUIRE(message_of(manager.open_step(11).status()).find("--checkpoint.load_step can be 10") !=
          std::string::npos);
  const auto reader = manager.open_step(10);
  REQUIRE(reader->has_prefix("ema"));
  REQUIRE_FALSE(reader->has_prefix("em"));
}

}  // namespace titan::checkpoint
