// device_mesh.h: ranks laid out on named axes. No torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "titan/parallel/parallel_dims.h"

namespace titan::parallel {

/// One axis of the mesh: "pp", "dp_replicate", "dp_shard", "cp" or "tp".
struct MeshAxis {
  std::string name;
  int64_t size = 1;
};

/// Where this rank stands. Ranks count through the axes row-major, the last axis fastest:
/// neighbours in rank, which share a host, are neighbours on the axes that talk most.
class DeviceMesh {
 public:
  /// Throws titan::Error unless 0 <= rank < dims.world_size().
  DeviceMesh(const ParallelDims& dims, int64_t rank);

  const ParallelDims& dims() const { return dims_; }
  const std::vector<MeshAxis>& axes() const { return axes_; }
  int64_t rank() const { return rank_; }
  int64_t world_size() const { return dims_.world_size(); }
  /// Number of ranks along an axis, or along several flattened to one (torchtitan's names):
  /// "dp" = dp_replicate x dp_shard, "dp_shard_cp", "dp_cp". Throws titan::Error for another name.
  int64_t size(const std::string& axis) const;
  /// This rank's position there.
  int64_t coordinate(const std::string& axis) const;
  /// Global ranks that differ from this one there alone, in order; this rank among them.
  std::vector<int64_t> group(const std::string& axis) const;
  /// Position among the ranks that see different samples, and their number.
  int64_t dp_rank() const { return coordinate("dp"); }
  int64_t dp_size() const { return dims_.dp_size(); }

 private:
  std::vector<std::size_t> indices_of(const std::string& axis) const;
  int64_t stride_of(std::size_t index) const;

  ParallelDims dims_;
  std::vector<MeshAxis> axes_;
  int64_t rank_;
};

}  // namespace titan::parallel
