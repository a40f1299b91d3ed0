#include "titan/parallel/parallel_dims.h"

#include <string>

namespace titan::parallel {
namespace {

std::string degrees(const ParallelismSection& config, int64_t world_size) {
  return str_cat("(replicate=", config.data_parallel_replicate_degree,
                 ", shard=", config.data_parallel_shard_degree, ", world_size=", world_size, ")");
}

Status refuse_reserved(const char* key, int64_t degree) {
  if (degree == 1) return ok_status();
  return invalid_argument("[parallel] parallelism.", key,
                          " must be 1: this kind of parallelism is not built (", key, "=", degree,
                          ")");
}

Status check_degree(const char* key, int64_t degree) {
  if (degree == -1 || degree >= 1) return ok_status();
  return invalid_argument("[parallel] parallelism.", key, " must be -1 or at least 1 (", key, "=",
                          degree, ")");
}

}  // namespace

StatusOr<ParallelDims> resolve_parallel_dims(const ParallelismSection& config, int64_t world_size) {
  TITAN_RETURN_IF_ERROR(refuse_reserved("tensor_parallel_degree", config.tensor_parallel_degree));
  TITAN_RETURN_IF_ERROR(refuse_reserved("context_parallel_degree", config.context_parallel_degree));
  TITAN_RETURN_IF_ERROR(
      refuse_reserved("pipeline_parallel_degree", config.pipeline_parallel_degree));
  int64_t replicate = config.data_parallel_replicate_degree;
  int64_t shard = config.data_parallel_shard_degree;
  TITAN_RETURN_IF_ERROR(check_degree("data_parallel_replicate_degree", replicate));
  TITAN_RETURN_IF_ERROR(check_degree("data_parallel_shard_degree", shard));
  if (replicate == -1 && shard == -1) {
    return invalid_argument("[parallel] only one degree may be -1, the ranks that are left ",
                            degrees(config, world_size));
  }
  const int64_t fixed = replicate == -1 ? shard : replicate;
  const bool has_rest = replicate == -1 || shard == -1;
  if (has_rest ? world_size % fixed != 0 : replicate * shard != world_size) {
    return invalid_argument("[parallel] the degrees must multiply to the number of ranks ",
                            degrees(config, world_size));
  }
  if (replicate == -1) replicate = world_size / shard;
  if (shard == -1) shard = world_size / replicate;
  return ParallelDims{.dp_replicate = replicate, .dp_shard = shard};
}

}  // namespace titan::parallel
