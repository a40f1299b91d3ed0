#include "titan/parallel/engine.h"

#include <cmath>

namespace titan::parallel {
namespace {

at::ScalarType dtype_named(const std::string& name) {
  return name == "bfloat16" ? at::kBFloat16 : at::kFloat;
}

}  // namespace

at::ScalarType compute_dtype(const JobConfig& config) {
  return dtype_named(config.training.mixed_precision_param);
}

StatusOr<EngineOptions> engine_options(const JobConfig& config, const DeviceMesh& mesh,
                                       at::Device device) {
  const ParallelismSection& parallelism = config.parallelism;
  EngineOptions options;
  options.parameters.compute_dtype = compute_dtype(config);
  options.parameters.shard = {.rank = mesh.coordinate("dp_shard"), .ranks = mesh.dims().dp_shard};
  options.parameters.device = device;
  options.parameters.offload = config.training.enable_cpu_offload;
  // One rank has nothing to gather, but what lies on the host comes to the device unit by unit.
  const bool sharded = options.parameters.shard.ranks > 1 || options.parameters.offload;
  options.parameters.resident = !sharded || parallelism.shard_strategy == "zero1";
  TITAN_ASSIGN_OR_RETURN(options.reshard,
                         reshard_from_name(parallelism.fsdp_reshard_after_forward));
  options.prefetch = parallelism.fsdp_prefetch;
  options.reduction = {
      .dtype = dtype_named(config.training.mixed_precision_reduce),
      .bucket_bytes = static_cast<int64_t>(std::llround(parallelism.bucket_mib * (1 << 20))),
      .each_micro_batch = parallelism.reduce_each_micro_batch};
  return options;
}

void ParallelEngine::sum_over_shards_(const at::Tensor& values) {
  const at::Tensor there = values.to(parameters_.compute_options().device());
  shards_.all_reduce_(there);
  if (!there.is_same(values)) values.copy_(there);
}

ParallelEngine::ParallelEngine(const std::vector<ModelUnit>& units, const MeshGroups& groups,
                               const EngineOptions& options)
    : parameters_(units, options.parameters),
      shards_(groups.reduce),
      gather_(parameters_, groups.gather,
              {.num_units = units.size(),
               .reshard = options.reshard,
               .prefetch = static_cast<std::size_t>(options.prefetch)}),
      reduction_(parameters_, groups.reduce, groups.replicate, options.reduction) {}

}  // namespace titan::parallel
