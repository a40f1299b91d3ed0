#include "titan/parallel/engine.h"

#include <cmath>

namespace titan::parallel {
namespace {

at::ScalarType dtype_named(const std::string& name) {
  return name == "bfloat16" ? at::kBFloat16 : at::kFloat;
}

/// Micro-batches of a step; the trainer refuses what does not divide.
int64_t accumulation_of(const TrainingSection& training, const DeviceMesh& mesh) {
  const int64_t pass = training.batch_size * mesh.dp_size();
  return training.global_batch_size <= pass ? 1 : training.global_batch_size / pass;
}

MasterWeights master_weights(const OptimizerSection& section) {
  if (section.master_weights == "remainder") return MasterWeights::kRemainder;
  if (section.master_weights == "stochastic") return MasterWeights::kStochastic;
  return MasterWeights::kFloat32;
}

}  // namespace

at::ScalarType compute_dtype(const JobConfig& config) {
  return dtype_named(config.training.mixed_precision_param);
}

at::ScalarType gradient_dtype(const JobConfig& config, int64_t accumulation) {
  const bool narrow = compute_dtype(config) == at::kBFloat16 &&
                      dtype_named(config.training.mixed_precision_reduce) == at::kBFloat16;
  return narrow && accumulation == 1 ? at::kBFloat16 : at::kFloat;
}

StatusOr<EngineOptions> engine_options(const JobConfig& config, const DeviceMesh& mesh,
                                       at::Device device) {
  const ParallelismSection& parallelism = config.parallelism;
  EngineOptions options;
  options.parameters.compute_dtype = compute_dtype(config);
  options.parameters.master = master_weights(config.optimizer);
  options.parameters.grad_dtype = gradient_dtype(config, accumulation_of(config.training, mesh));
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
