#include "tests/support/ranks.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include "titan/base/check.h"
#include "titan/parallel/backend_registry.h"

namespace titan::testing {

namespace {

using Store = c10::intrusive_ptr<c10d::Store>;

/// One thread per rank; rethrows the first exception.
void run_threads(int num_ranks, const std::function<void(int rank, const Store& store)>& body) {
  // The flight recorder of LibTorch 2.11 is one per process and adds groups to an unguarded map
  // (pytorch/pytorch pull 179449): with ranks as threads it crashes or loops now and then.
  setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/1);
  const Store store = c10::make_intrusive<c10d::HashStore>();
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(num_ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < num_ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(rank, store);
      } catch (...) {
        errors[static_cast<std::size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

parallel::Communicator connect(const Store& store, const std::string& name, int rank, int size,
                               std::chrono::milliseconds timeout, bool shared_memory = true) {
  if (size == 1) return {};
  return parallel::Communicator(
      parallel::make_backend({.store = c10::make_intrusive<c10d::PrefixStore>(name, store),
                              .rank = rank,
                              .size = size,
                              .device = at::kCPU,
                              .timeout = timeout,
                              .name = name,
                              .local_host = true,
                              .shared_memory = shared_memory}),
      at::kCPU);
}

}  // namespace

void run_ranks(int num_ranks, const std::function<void(parallel::Communicator&)>& body,
               std::chrono::milliseconds timeout, bool shared_memory) {
  run_threads(num_ranks, [&](int rank, const Store& store) {
    parallel::Communicator communicator =
        connect(store, "test", rank, num_ranks, timeout, shared_memory);
    body(communicator);
    communicator.barrier();
    communicator.close();
  });
}

std::vector<std::string> errors_of_ranks(int num_ranks,
                                         const std::function<void(parallel::Communicator&)>& body,
                                         std::chrono::milliseconds timeout) {
  std::vector<std::string> messages(static_cast<std::size_t>(num_ranks));
  run_threads(num_ranks, [&](int rank, const Store& store) {
    parallel::Communicator communicator = connect(store, "test", rank, num_ranks, timeout);
    try {
      body(communicator);
    } catch (const Error& error) {
      messages[static_cast<std::size_t>(rank)] = error.what();
    }
  });
  return messages;
}

void run_mesh(
    const parallel::ParallelDims& dims,
    const std::function<void(const parallel::DeviceMesh&, const parallel::MeshGroups&)>& body,
    std::chrono::seconds timeout) {
  const int world = static_cast<int>(dims.world_size());
  run_threads(world, [&](int rank, const Store& store) {
    const parallel::DeviceMesh mesh(dims, rank);
    const auto open = [&](const std::string& name, const std::vector<int64_t>& ranks) {
      const auto mine = std::find(ranks.begin(), ranks.end(), rank) - ranks.begin();
      return connect(store, name, static_cast<int>(mine), static_cast<int>(ranks.size()), timeout);
    };
    parallel::Communicator everybody = connect(store, "test", rank, world, timeout);
    parallel::MeshGroups groups = parallel::open_mesh_groups(mesh, open);
    body(mesh, groups);
    everybody.barrier();
    for (parallel::Communicator* group : {&groups.gather, &groups.reduce, &groups.replicate})
      group->close();
    everybody.close();
  });
}

}  // namespace titan::testing
