#include "titan/parallel/mesh_groups.h"

#include "titan/base/check.h"

namespace titan::parallel {

MeshGroups open_mesh_groups(const DeviceMesh& mesh, const OpenGroup& open) {
  const auto over = [&](const std::string& axis, const std::string& use) {
    const std::vector<int64_t> ranks = mesh.group(axis);
    if (ranks.size() == 1) return Communicator();
    return open(str_cat(axis, ".", use, "/", ranks.front()), ranks);
  };
  MeshGroups groups;
  groups.gather = over("dp_shard", "gather");
  groups.reduce = over("dp_shard", "reduce");
  groups.replicate = over("dp_replicate", "reduce");
  return groups;
}

}  // namespace titan::parallel
