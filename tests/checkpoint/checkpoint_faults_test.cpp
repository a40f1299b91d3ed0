#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <random>

#include "tests/checkpoint/small_state.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/checkpoint/checkpoint_manager.h"

namespace titan::checkpoint {
namespace {

namespace fs = std::filesystem;
using titan::testing::all_hold;
using titan::testing::slurp;
using titan::testing::small_state;
using titan::testing::TemporaryFolder;

CheckpointManager faulty_manager_in(const std::string& folder, int64_t keep = 0) {
  auto manager = CheckpointManager::open({.folder = folder, .keep_latest_k = keep});
  REQUIRE(manager.ok());
  return *std::move(manager);
}

/// The message of loading the latest checkpoint; it must be bad input.
std::string damage_message(const CheckpointManager& manager) {
  auto items = small_state();
  const auto loaded = manager.load(items);
  REQUIRE(exit_code_for(loaded.status()) == 2);
  return message_of(loaded.status());
}

}  // namespace

TEST_CASE("A damaged checkpoint names its file and the step to load instead", "[checkpoint]") {
  const TemporaryFolder folder;
  const CheckpointManager manager = faulty_manager_in(folder.path().string());
  for (const int64_t step : {10, 20, 30})
    REQUIRE(manager.save({.step = step}, small_state(step)).ok());
  const std::string index = folder.file("step-000030/index.json");
  const std::string data = folder.file("step-000030/rank-00000.safetensors");
  const std::string advice = ". An older checkpoint is whole: --checkpoint.load_step=20";
  const auto check = [&](const std::string& path, const std::string& what) {
    const std::string message = damage_message(manager);
    CAPTURE(message);
    REQUIRE(message.find(path) != std::string::npos);
    REQUIRE(message.find(what) != std::string::npos);
    REQUIRE(message.find(advice) != std::string::npos);
  };
  SECTION("a changed byte") {
    std::string bytes = slurp(data);
    bytes[bytes.size() - 5] = static_cast<char>(bytes[bytes.size() - 5] ^ 4);
    folder.write("step-000030/rank-00000.safetensors", bytes);
    check(data, "the XXH3-128 of its bytes 0 to ");
  }
  SECTION("a truncated file") {
    fs::resize_file(data, fs::file_size(data) / 2);
    check(data, "bytes, index.json says");
  }
  SECTION("an empty file") {
    fs::resize_file(data, 0);
    check(data, "");
  }
  SECTION("a missing file") {
    fs::remove(data);
    check(data, "");
  }
  SECTION("an index that is no JSON") {
    folder.write("step-000030/index.json", "{\"format\": \"titan-ch");
    check(index, "not a JSON object");
  }
  SECTION("a missing index") {
    fs::remove(index);
    check(index, "");
  }
  auto items = small_state();
  REQUIRE(manager.load(items, 20).ok());
  REQUIRE(all_hold(items, 20));
}

TEST_CASE("The advice skips checkpoints that are damaged too", "[checkpoint]") {
  const TemporaryFolder folder;
  const CheckpointManager manager = faulty_manager_in(folder.path().string());
  for (const int64_t step : {10, 20, 30})
    REQUIRE(manager.save({.step = step}, small_state(step)).ok());
  for (const char* step : {"step-000020", "step-000030"})
    fs::resize_file(folder.file(std::string(step) + "/rank-00000.safetensors"), 100);
  REQUIRE(damage_message(manager).find("--checkpoint.load_step=10") != std::string::npos);
  fs::remove_all(folder.file("step-000010"));
  REQUIRE(damage_message(manager).find("No older checkpoint is whole") != std::string::npos);
}

TEST_CASE("Killed at any moment, the newest checkpoint loads", "[checkpoint]") {
  const TemporaryFolder folder;
  const auto began = std::chrono::steady_clock::now();
  { REQUIRE(faulty_manager_in(folder.path().string()).save({.step = 1}, small_state(1)).ok()); }
  const auto save_us = std::chrono::duration_cast<std::chrono::microseconds>(
                           std::chrono::steady_clock::now() - began)
                           .count();
  std::mt19937 random(std::random_device{}());
  int64_t newest = 1;
  int killed_inside = 0;
  for (int round = 0; round < 40; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      const auto manager =
          CheckpointManager::open({.folder = folder.path().string(), .keep_latest_k = 2});
      for (int64_t step = newest + 1; manager.ok(); ++step)
        if (!manager->save({.step = step}, small_state(step)).ok()) _exit(1);
      _exit(1);
    }
    // After none, one or two complete checkpoints, at a random moment of the next.
    const CheckpointFolder watched(folder.path().string());
    const auto reached = [&](int64_t step) {
      const std::vector<int64_t> steps = *watched.steps();
      return !steps.empty() && steps.back() >= step;
    };
    for (int polls = 0; polls < 50000 && !reached(newest + round % 3); ++polls) usleep(200);
    usleep(static_cast<useconds_t>(random() % static_cast<uint64_t>(2 * save_us + 1)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    for (const auto& entry : fs::directory_iterator(folder.path()))
      if (entry.path().filename().string()[0] == '.') ++killed_inside;

    const CheckpointManager manager = faulty_manager_in(folder.path().string(), 2);
    const std::optional<int64_t> latest = *manager.latest_step();
    REQUIRE(latest.has_value());
    REQUIRE(*latest >= newest);
    newest = *latest;
    auto items = small_state();
    const auto loaded = manager.load(items);
    CAPTURE(loaded.status().ToString());
    REQUIRE(loaded.ok());
    REQUIRE(loaded->step == newest);
    REQUIRE(all_hold(items, newest));
    const std::vector<int64_t> steps = *manager.steps();
    for (const int64_t step : steps) REQUIRE(manager.open_step(step)->verify().ok());
    for (const auto& entry : fs::directory_iterator(folder.path()))
      REQUIRE(entry.path().filename().string()[0] != '.');  // the start removed what was unfinished
  }
  std::printf("40 kills, %d folders found unfinished, last step %ld\n", killed_inside,
              static_cast<long>(newest));
  REQUIRE(newest >= 1 + 13 + 2 * 13);  // each complete one was kept
}

TEST_CASE("On a full disk the save fails clearly and older checkpoints stay", "[checkpoint]") {
  const TemporaryFolder folder;
  fs::create_directory(folder.file("disk"));
  const std::string disk = folder.file("disk");
  if (mount("none", disk.c_str(), "tmpfs", 0, "size=64k") != 0)
    TITAN_SKIP("mounting a small tmpfs is not allowed here");
  {
    const CheckpointManager manager = faulty_manager_in(disk);
    int64_t saved = 0;
    Status status;
    for (int64_t step = 1; step < 100; ++step) {
      status = manager.save({.step = step}, small_state(step));
      if (!status.ok()) break;
      saved = step;
    }
    REQUIRE(saved >= 1);
    CAPTURE(status.ToString());
    REQUIRE(exit_code_for(status) == 1);
    REQUIRE(message_of(status).find(str_cat("[checkpoint] step ", saved + 1,
                                            " was not saved, older checkpoints are untouched")) ==
            0);
    REQUIRE(message_of(status).find("No space left on device") != std::string::npos);
    REQUIRE(manager.steps()->size() == static_cast<std::size_t>(saved));
    REQUIRE_FALSE(fs::exists(disk + "/.tmp-" + step_folder_name(saved + 1)));
    auto items = small_state();
    REQUIRE(manager.load(items)->step == saved);
    REQUIRE(all_hold(items, saved));
  }
  umount(disk.c_str());
}

TEST_CASE("A file that may not grow fails the save likewise", "[checkpoint]") {
  const TemporaryFolder folder;
  { REQUIRE(faulty_manager_in(folder.path().string()).save({.step = 1}, small_state(1)).ok()); }
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{700, 700};
    setrlimit(RLIMIT_FSIZE, &limit);
    const auto manager = CheckpointManager::open({.folder = folder.path().string()});
    const Status status = manager->save({.step = 2}, small_state(2));
    const bool clear = message_of(status).find("File too large") != std::string::npos;
    _exit(!status.ok() && clear && !fs::exists(folder.file(".tmp-step-000002")) ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  REQUIRE(*faulty_manager_in(folder.path().string()).steps() == std::vector<int64_t>{1});
}

TEST_CASE("A folder that cannot be made is bad input", "[checkpoint]") {
  const auto manager = CheckpointManager::open({.folder = "/proc/no-such-folder/checkpoint"});
  REQUIRE_FALSE(manager.ok());
  REQUIRE(message_of(manager.status()).find("/proc/no-such-folder/checkpoint") !=
          std::string::npos);
}

}  // namespace titan::checkpoint
