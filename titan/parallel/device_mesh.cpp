#include "titan/parallel/device_mesh.h"

#include "titan/base/check.h"

namespace titan::parallel {

DeviceMesh::DeviceMesh(const ParallelDims& dims, int64_t rank)
    : dims_(dims),
      axes_{{"pp", dims.pp},
            {"dp_replicate", dims.dp_replicate},
            {"dp_shard", dims.dp_shard},
            {"cp", dims.cp},
            {"tp", dims.tp}},
      rank_(rank) {
  TITAN_CHECK(rank >= 0 && rank < dims.world_size(), "[mesh] rank outside the mesh (rank=", rank,
              ", world_size=", dims.world_size(), ")");
}

std::size_t DeviceMesh::index_of(const std::string& axis) const {
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    if (axes_[i].name == axis) return i;
  }
  throw Error("[mesh] no axis \"" + axis + "\"; axes: pp, dp_replicate, dp_shard, cp, tp");
}

int64_t DeviceMesh::stride_of(std::size_t index) const {
  int64_t stride = 1;
  for (std::size_t i = index + 1; i < axes_.size(); ++i) stride *= axes_[i].size;
  return stride;
}

int64_t DeviceMesh::coordinate(const std::string& axis) const {
  const std::size_t index = index_of(axis);
  return rank_ / stride_of(index) % axes_[index].size;
}

std::vector<int64_t> DeviceMesh::group(const std::string& axis) const {
  const std::size_t index = index_of(axis);
  const int64_t stride = stride_of(index);
  const int64_t first = rank_ - coordinate(axis) * stride;
  std::vector<int64_t> ranks;
  for (int64_t i = 0; i < axes_[index].size; ++i) ranks.push_back(first + i * stride);
  return ranks;
}

int64_t DeviceMesh::dp_rank() const {
  return coordinate("dp_replicate") * dims_.dp_shard + coordinate("dp_shard");
}

}  // namespace titan::parallel
