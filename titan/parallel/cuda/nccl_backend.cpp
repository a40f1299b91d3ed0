// nccl.h must be exactly the version LibTorch was built with: the options hold an ncclConfig_t by
// value.
#include "titan/parallel/cuda/nccl_backend.h"

#include <nccl.h>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

static_assert(NCCL_VERSION_CODE == NCCL_VERSION(2, 28, 9),
              "LibTorch 2.11.0 was built with NCCL 2.28.9");

namespace titan::parallel {

c10::intrusive_ptr<c10d::Backend> make_nccl_backend(const BackendRequest& request) {
  // High priority: the reduction of a finished bucket goes in front of the backward it overlaps
  // with.
  auto options = c10d::ProcessGroupNCCL::Options::create(/*is_high_priority_stream=*/true);
  options->timeout = request.timeout;
  options->group_name = request.name;
  for (int r = 0; r < request.size; ++r) {
    options->global_ranks_in_group.push_back(static_cast<uint64_t>(r));
  }
  auto backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(request.store, request.rank,
                                                             request.size, options);
  backend->setBoundDeviceId(request.device);
  backend->eagerConnectSingleDevice(
      request.device);  // a bad network fails here, not in the first step
  return backend;
}

}  // namespace titan::parallel
