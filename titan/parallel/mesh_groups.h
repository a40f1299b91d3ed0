// mesh_groups.h: the connections that the engine uses, one for each axis of the mesh that talks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "titan/parallel/communicator.h"
#include "titan/parallel/device_mesh.h"

namespace titan::parallel {

/// Groups of one cost nothing.
struct MeshGroups {
  Communicator gather;     ///< over dp_shard: parameters
  Communicator reduce;     ///< over dp_shard: gradients, which must not wait behind parameters
  Communicator replicate;  ///< over dp_replicate
};

/// Connects `ranks` (global, this one among them) under a name that only they use; every rank of
/// the job opens its groups in the same order.
using OpenGroup =
    std::function<Communicator(const std::string& name, const std::vector<int64_t>& ranks)>;

MeshGroups open_mesh_groups(const DeviceMesh& mesh, const OpenGroup& open);

}  // namespace titan::parallel
