#include "titan/parallel/device_mesh.h"

#include <map>
#include <utility>

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

std::vector<std::size_t> DeviceMesh::indices_of(const std::string& axis) const {
  static const std::map<std::string, std::vector<std::size_t>> kFlattened = {
      {"dp", {1, 2}}, {"dp_shard_cp", {2, 3}}, {"dp_cp", {1, 2, 3}}};
  for (std::size_t i = 0; i < axes_.size(); ++i) {
    if (axes_[i].name == axis) return {i};
  }
  const auto found = kFlattened.find(axis);
  TITAN_CHECK(found != kFlattened.end(), "[mesh] no axis \"", axis,
              "\"; axes: pp, dp_replicate, dp_shard, cp, tp; flattened: dp, dp_shard_cp, dp_cp");
  return found->second;
}

int64_t DeviceMesh::stride_of(std::size_t index) const {
  int64_t stride = 1;
  for (std::size_t i = index + 1; i < axes_.size(); ++i) stride *= axes_[i].size;
  return stride;
}

int64_t DeviceMesh::size(const std::string& axis) const {
  int64_t product = 1;
  for (const std::size_t index : indices_of(axis)) product *= axes_[index].size;
  return product;
}

int64_t DeviceMesh::coordinate(const std::string& axis) const {
  int64_t position = 0;
  for (const std::size_t index : indices_of(axis))
    position = position * axes_[index].size + rank_ / stride_of(index) % axes_[index].size;
  return position;
}

std::vector<int64_t> DeviceMesh::group(const std::string& axis) const {
  std::vector<int64_t> ranks = {rank_};
  for (const std::size_t index : indices_of(axis)) {
    const int64_t stride = stride_of(index);
    std::vector<int64_t> more;
    for (const int64_t rank : ranks) {
      const int64_t first = rank - rank / stride % axes_[index].size * stride;
      for (int64_t i = 0; i < axes_[index].size; ++i) more.push_back(first + i * stride);
    }
    ranks = std::move(more);
  }
  return ranks;
}

}  // namespace titan::parallel
