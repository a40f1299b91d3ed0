// engine.h: one engine for every layout. Around each unit of the runner it gathers parameters and
// reduces gradients; which of the two means anything is a matter of the mesh and of settings:
//
//                  shard ranks   resident   what happens
//   one rank            1          yes      nothing
//   DDP                 1          yes      gradients: all-reduce
//   ZeRO-1              n          yes      gradients: reduce-scatter; parameters: gathered once a
//   step FSDP                n          no       the same, parameters gathered for each forward and
//   backward HSDP                n          no       FSDP in the group, then gradients: all-reduce
//   over replicas
#pragma once

#include <memory>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/parallel/flat_parameters.h"
#include "titan/parallel/gradient_reduction.h"
#include "titan/parallel/mesh_groups.h"
#include "titan/parallel/unit_gather.h"
#include "titan/protocols/block_runner.h"

namespace titan::parallel {

struct EngineOptions {
  FlatParametersOptions parameters = {};
  Reshard reshard = Reshard::kDefault;
  int64_t prefetch = 1;
  GradientReductionOptions reduction = {};
};

/// training.mixed_precision_param.
at::ScalarType compute_dtype(const JobConfig& config);

/// Of stored gradients: bfloat16 where backward and the sums over ranks give nothing else;
/// micro-batches are added up in float32.
at::ScalarType gradient_dtype(const JobConfig& config, int64_t accumulation);

/// What a job's settings ask for on a mesh; an error names the setting.
StatusOr<EngineOptions> engine_options(const JobConfig& config, const DeviceMesh& mesh,
                                       at::Device device);

/// One step: begin_step(n); n times { begin_micro_batch(i); runner.forward_backward(...) };
/// finish(); update the slices; parameters().weights_changed().
class ParallelEngine : public RunnerHooks {
 public:
  /// The units' leaves belong to the engine from now on.
  ParallelEngine(const std::vector<ModelUnit>& units, const MeshGroups& groups,
                 const EngineOptions& options = {});

  FlatParameters& parameters() { return parameters_; }
  /// Adds up what the ranks of this replica hold, in place, without a host sync.
  void sum_over_shards_(const at::Tensor& values);
  const UnitGather& gather() const { return gather_; }
  const GradientReduction& reduction() const { return reduction_; }

  void begin_step(int64_t accumulation) { reduction_.begin_step(accumulation); }
  void begin_micro_batch(int64_t index) { reduction_.begin_micro_batch(index); }
  void finish() { reduction_.finish(); }
  /// What the model reads of parameters that stay whole is what the weights are now; a pass does so
  /// by itself, a pass that was recorded earlier does not. All ranks call.
  void fill_resident() { gather_.fill_resident(); }

  void begin_pass(bool with_backward) override { gather_.begin_pass(with_backward); }
  void before_forward(std::size_t unit) override { gather_.before_forward(unit); }
  void after_forward(std::size_t unit) override { gather_.after_forward(unit); }
  void before_backward(std::size_t unit) override {
    gather_.before_backward(unit);
    reduction_.offer_places(unit);
  }
  void gradients_ready(std::size_t unit, const std::vector<at::Tensor>& gradients) override {
    gather_.after_backward(unit);
    reduction_.add(unit, gradients);
  }

 private:
  FlatParameters parameters_;
  Communicator shards_;
  UnitGather gather_;
  GradientReduction reduction_;
};

}  // namespace titan::parallel
