// shared_memory_backend.h: collectives of ranks on one host, through memory that they share.
#pragma once

#include "titan/parallel/backend_registry.h"

namespace titan::parallel {

/// A backend for CPU tensors where all ranks of the group can share memory; null where not (other
/// hosts or containers, no memory left, more than 64 ranks), then for every rank of the group. All
/// call. It has what Communicator uses: all-reduce, all-gather, reduce-scatter, broadcast. They run
/// in the order of their calls, on a thread of the group or on the one that waits.
///
/// Sums are taken in order of rank, so every rank has the same bits and a layout the same from run
/// to run. A rank that ends without a word is seen within 50 ms.
c10::intrusive_ptr<c10d::Backend> make_shared_memory_backend(const BackendRequest& request);

}  // namespace titan::parallel
