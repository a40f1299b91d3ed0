#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <filesystem>
#include <random>

#include "tests/checkpoint/ranks_of_save.h"
#include "tests/support/catch.h"

namespace titan::checkpoint {
namespace {

namespace fs = std::filesystem;
using titan::testing::all_hold;
using titan::testing::ExchangeFunction;
using titan::testing::file_exchange;
using titan::testing::manager_of;
using titan::testing::on_ranks;
using titan::testing::sharded_state;
using titan::testing::TemporaryFolder;

bool has_hidden(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename().string()[0] == '.') return true;
  return false;
}

/// Starts a process for each rank; the parent ends them.
std::vector<pid_t> start_ranks(int64_t ranks, const std::function<void(int64_t rank)>& body) {
  std::vector<pid_t> children;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      at::set_num_threads(1);  // the parent's OpenMP threads do not live here
      try {
        body(rank);
      } catch (...) {
        _exit(9);
      }
      _exit(0);
    }
    children.push_back(child);
  }
  return children;
}

}  // namespace

TEST_CASE("A copy is saved: training changes the state meanwhile", "[checkpoint]") {
  const TemporaryFolder folder;
  CheckpointManager manager = manager_of(folder.path().string(), 0, {});
  const auto items = sharded_state(0, 1, 1);
  REQUIRE(manager.reserve(items).ok());
  for (int64_t step = 1; step <= 3; ++step) {
    for (CheckpointItem item : items) titan::testing::fill(item, step);
    REQUIRE(manager.start_save({.step = step}, items).ok());  // waits for the one before
    for (const CheckpointItem& item : items) item.flat.fill_(99);
  }
  std::optional<int64_t> complete;
  while (!complete) {
    const auto polled = manager.poll();
    REQUIRE(polled.ok());
    complete = *polled;
  }
  REQUIRE(*complete == 3);
  REQUIRE_FALSE(manager.poll()->has_value());
  REQUIRE_FALSE(manager.finish()->has_value());
  for (int64_t step = 1; step <= 3; ++step) {
    const auto loaded = sharded_state(0, 1);
    REQUIRE(manager.load(loaded, step).ok());
    REQUIRE(all_hold(loaded, step));
  }
  REQUIRE_FALSE(has_hidden(folder.path()));
}

TEST_CASE("A save that is not complete is dropped with its manager", "[checkpoint]") {
  const TemporaryFolder folder;
  on_ranks(3, [&](int64_t rank, ExchangeFunction exchange) {
    CheckpointManager manager = manager_of(folder.path().string(), rank, std::move(exchange));
    const auto items = sharded_state(rank, 3, 1, /*wide=*/true);
    const bool saved = manager.save({.step = 1}, items).ok();
    const bool started = manager.start_save({.step = 2}, items).ok();
    TITAN_CHECK(saved && started, "cannot save");
  });
  const CheckpointManager manager = manager_of(folder.path().string(), 0, {});
  REQUIRE(*manager.steps() == std::vector<int64_t>{1});
  REQUIRE_FALSE(has_hidden(folder.path()));
}

TEST_CASE("A rank whose disk is full fails the save on all; nothing half stays", "[checkpoint]") {
  const TemporaryFolder folder, talk;
  for (const bool beside : {false, true}) {
    fs::remove_all(talk.path());
    fs::create_directory(talk.path());
    const auto children = start_ranks(3, [&](int64_t rank) {
      CheckpointManager manager =
          manager_of(folder.file("checkpoint"), rank, file_exchange(talk.path().string(), rank, 3));
      const auto items = sharded_state(rank, 3, 1, /*wide=*/true);
      if (!manager.save({.step = 1}, items).ok()) _exit(1);
      if (rank == 2) {
        signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{1 << 20, 1 << 20};  // stands for a disk that fills up on this node
        setrlimit(RLIMIT_FSIZE, &limit);
      }
      Status status =
          beside ? manager.start_save({.step = 2}, items) : manager.save({.step = 2}, items);
      if (beside && status.ok()) status = manager.finish().status();
      const std::string message = message_of(status);
      if (status.ok()) _exit(2);
      if (message.find("step 2 was not saved, older checkpoints are untouched") ==
          std::string::npos)
        _exit(3);
      if (message.find("rank 2: ") == std::string::npos) _exit(4);
      if (message.find("rank-00002.safetensors: File too large") == std::string::npos) _exit(5);
    });
    for (const pid_t child : children) {
      int status = 0;
      waitpid(child, &status, 0);
      REQUIRE(WIFEXITED(status));
      REQUIRE(WEXITSTATUS(status) == 0);
    }
    REQUIRE_FALSE(has_hidden(folder.file("checkpoint")));
    const CheckpointManager manager = manager_of(folder.file("checkpoint"), 0, {});
    REQUIRE(*manager.steps() == std::vector<int64_t>{1});
    const auto items = sharded_state(0, 1, -1, /*wide=*/true);
    REQUIRE(manager.load(items).ok());
    REQUIRE(all_hold(items, 1));
  }
}

TEST_CASE("One rank killed at any instant: the newest checkpoint loads", "[checkpoint]") {
  constexpr int64_t kRanks = 3;
  constexpr int kRounds = 30;
  const TemporaryFolder folder, talk;
  std::mt19937 random(std::random_device{}());
  int64_t newest = 0;
  int unfinished = 0;
  for (int round = 0; round < kRounds; ++round) {
    const bool beside = round % 2 == 0;
    fs::remove_all(talk.path());
    fs::create_directory(talk.path());
    const auto children = start_ranks(kRanks, [&](int64_t rank) {
      CheckpointManager manager = manager_of(folder.file("checkpoint"), rank,
                                             file_exchange(talk.path().string(), rank, kRanks), 2);
      auto items = sharded_state(rank, kRanks, 0, /*wide=*/round % 3 == 0);
      for (int64_t step = newest + 1;; ++step) {
        for (CheckpointItem& item : items) titan::testing::fill(item, step);
        const CheckpointMeta meta{.step = step, .world_size = kRanks};
        const Status saved = beside ? manager.start_save(meta, items) : manager.save(meta, items);
        if (!saved.ok() || !manager.poll().ok()) _exit(1);
      }
    });
    const CheckpointFolder watched(folder.file("checkpoint"));
    const auto reached = [&](int64_t step) {
      const auto steps = watched.steps();
      return steps.ok() && !steps->empty() && steps->back() >= step;
    };
    for (int polls = 0; polls < 50000 && !reached(newest + 1 + round % 2); ++polls) usleep(200);
    usleep(static_cast<useconds_t>(random() % 20000));
    kill(children[random() % kRanks], SIGKILL);
    usleep(static_cast<useconds_t>(random() % 3000));
    for (const pid_t child : children) {
      kill(child, SIGKILL);
      int status = 0;
      waitpid(child, &status, 0);
      REQUIRE(WIFSIGNALED(status));
    }
    if (has_hidden(folder.file("checkpoint"))) ++unfinished;
    const CheckpointManager manager = manager_of(folder.file("checkpoint"), 0, {}, 2);
    REQUIRE_FALSE(has_hidden(folder.file("checkpoint")));
    const std::vector<int64_t> steps = *manager.steps();
    REQUIRE_FALSE(steps.empty());
    REQUIRE(steps.back() > newest);
    newest = steps.back();
    for (const int64_t step : steps) REQUIRE(manager.open_step(step)->verify().ok());
    const auto items = sharded_state(0, 1, -1, /*wide=*/round % 3 == 0);
    const auto loaded = manager.load(items);
    INFO(loaded.status().ToString());
    REQUIRE(loaded.ok());
    REQUIRE(all_hold(items, newest));
  }
  std::printf("%d kills, %d folders found unfinished, last step %ld\n", kRounds, unfinished,
              static_cast<long>(newest));
}

}  // namespace titan::checkpoint
