// ranks.h: runs N ranks inside one test process, as threads that share memory or talk over Gloo.
// Include after tests/support/catch.h.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "titan/parallel/communicator.h"
#include "titan/parallel/device_mesh.h"
#include "titan/parallel/mesh_groups.h"

namespace titan::testing {

/// Runs `body` once per rank, each in its own thread with its own communicator; rethrows the first
/// exception. Catch2's assertions are not thread-safe: bodies compute, the test asserts afterwards.
void run_ranks(int num_ranks, const std::function<void(parallel::Communicator&)>& body,
               std::chrono::milliseconds timeout = std::chrono::seconds(30),
               bool shared_memory = true);

/// What each rank's titan::Error says, empty where its body ends without one. No barrier at the
/// end: ranks leave as they are done.
std::vector<std::string> errors_of_ranks(int num_ranks,
                                         const std::function<void(parallel::Communicator&)>& body,
                                         std::chrono::milliseconds timeout);

/// `run_ranks` on a mesh: `dims.world_size()` ranks, each with the groups that the engine uses.
void run_mesh(
    const parallel::ParallelDims& dims,
    const std::function<void(const parallel::DeviceMesh&, const parallel::MeshGroups&)>& body,
    std::chrono::seconds timeout = std::chrono::seconds(30));

}  // namespace titan::testing
