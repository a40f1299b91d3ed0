// nccl_backend.h: c10d's NCCL backend, built directly. Part of libtitan_cuda.so.
#pragma once

#include "titan/parallel/backend_registry.h"

namespace titan::parallel {

/// Connects the group at once, on the device of the request.
c10::intrusive_ptr<c10d::Backend> make_nccl_backend(const BackendRequest& request);

}  // namespace titan::parallel
