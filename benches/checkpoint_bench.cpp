// Times saving and loading a checkpoint; scripts/bench_checkpoint.py runs it beside Python.
//
//   checkpoint_bench FOLDER MIB TENSORS THREADS
//
// Prints "ready BYTES", then answers each word on stdin with seconds: save, load (into the buffers
// of the run, as training does), fresh (into new memory), stage (what training waits for in an
// asynchronous save), rest (from there until the checkpoint stands).
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/check.h"
#include "titan/checkpoint/checkpoint_manager.h"
#include "titan/memory/cpu_allocator.h"

namespace titan {
namespace {

using checkpoint::CheckpointItem;

/// `count` float32 tensors end to end in one flat buffer.
std::vector<CheckpointItem> make_items(int64_t elements, int64_t count, bool filled) {
  CheckpointItem item{
      "model", filled ? at::randn({elements * count}) : at::empty({elements * count}), {}};
  for (int64_t i = 0; i < count; ++i)
    item.fragments.push_back({str_cat("w", i), {elements}, 0, i * elements, elements});
  return {std::move(item)};
}

void check(const Status& status) { TITAN_CHECK(status.ok(), message_of(status)); }

class CheckpointBench {
 public:
  CheckpointBench(const std::string& folder, int64_t mib, int64_t tensors, int threads)
      : elements_((mib << 18) / tensors), tensors_(tensors) {
    auto manager = checkpoint::CheckpointManager::open(
        {.folder = folder, .keep_latest_k = 1, .threads = threads});
    check(manager.status());
    manager_.emplace(*std::move(manager));
    items_ = make_items(elements_, tensors_, /*filled=*/true);
    check(manager_->reserve(items_));
  }
  int64_t bytes() const { return 4 * elements_ * tensors_; }

  void run(const std::string& what) {
    if (what == "save") check(manager_->save({.step = ++step_}, items_));
    if (what == "load") check(manager_->load(items_).status());
    if (what == "fresh") {
      const auto fresh = make_items(elements_, tensors_, /*filled=*/false);
      check(manager_->load(fresh).status());
    }
    if (what == "stage") check(manager_->start_save({.step = ++step_}, items_));
    if (what == "rest") check(manager_->finish().status());
  }

 private:
  int64_t elements_, tensors_;
  int64_t step_ = 0;
  std::vector<CheckpointItem> items_;
  std::optional<checkpoint::CheckpointManager> manager_;
};

int run(int argc, char** argv) {
  TITAN_CHECK(argc == 5, "checkpoint_bench FOLDER MIB TENSORS THREADS");
  const int threads = std::atoi(argv[4]);
  at::set_num_threads(threads);
  memory::install_cpu_allocator();
  CheckpointBench bench(argv[1], std::atoll(argv[2]), std::atoll(argv[3]), threads);
  std::cout << "ready " << bench.bytes() << std::endl;
  for (std::string what; std::cin >> what;) {
    const auto began = std::chrono::steady_clock::now();
    bench.run(what);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    std::cout << seconds.count() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace titan

int main(int argc, char** argv) {
  try {
    return titan::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
