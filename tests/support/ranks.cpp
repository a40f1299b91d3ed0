#include "tests/support/ranks.h"

#include <cstdlib>
#include <exception>
#include <thread>
#include <vector>

#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>

#include "titan/parallel/backend_registry.h"

namespace titan::testing {

void run_ranks(int num_ranks, const std::function<void(parallel::Communicator&)>& body,
               std::chrono::seconds timeout) {
  // The flight recorder of LibTorch 2.11 is one per process and adds groups to an unguarded map
  // (pytorch/pytorch pull 179449): with ranks as threads it crashes or loops now and then.
  setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/1);
  const auto store = c10::make_intrusive<c10d::HashStore>();
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(num_ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < num_ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        parallel::Communicator communicator;
        if (num_ranks > 1) {
          communicator = parallel::Communicator(parallel::make_backend({.store = store,
                                                                        .rank = rank,
                                                                        .size = num_ranks,
                                                                        .device = at::kCPU,
                                                                        .timeout = timeout,
                                                                        .name = "test",
                                                                        .local_host = true}),
                                                at::kCPU);
        }
        body(communicator);
        communicator.barrier();
        communicator.close();
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

}  // namespace titan::testing
