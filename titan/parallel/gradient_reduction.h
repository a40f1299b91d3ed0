// gradient_reduction.h: gradients of every unit, summed over micro-batches and ranks.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/ops/gradient_place.h"
#include "titan/parallel/communicator.h"
#include "titan/parallel/flat_parameters.h"
#include "titan/parallel/slot_memory.h"

namespace titan::parallel {

struct GradientReductionOptions {
  /// In which sums over ranks are taken; micro-batches are added in the gradients' own dtype.
  at::ScalarType dtype = at::kFloat;
  /// Neighbouring units are summed over replicas together until a message has this size: small
  /// messages cost latency, a single big one cannot overlap with backward. 25 MB is the size that
  /// PyTorch's DDP settled on (Li et al. 2020, arXiv:2006.15704, 3.2.3).
  int64_t bucket_bytes = 25LL << 20;
  /// Sharded gradients are reduced after every micro-batch; otherwise whole float32 gradients are
  /// kept until the last.
  bool each_micro_batch = false;
};

/// Adds gradients up in float32, whatever the dtype of computation (engine_options keeps bfloat16
/// ones only where a step has a single micro-batch), and sums them over the ranks
/// while backward goes on: reduce-scatter over those that hold slices, then all-reduce over the
/// replicas. Plain sums: the loss already divides by the global batch. One step: begin_step(n); n
/// times { begin_micro_batch(i); add(unit, ...) from the last unit to the first }; finish().
class GradientReduction {
 public:
  /// `shards`: the ranks that hold the slices; `replicas`: those that hold the same slice.
  /// `parameters` outlives this object.
  GradientReduction(FlatParameters& parameters, Communicator shards, Communicator replicas,
                    GradientReductionOptions options = {});

  /// `accumulation`: micro-batches of the coming step, at least 1.
  void begin_step(int64_t accumulation);
  /// `index` counts from 0. The first micro-batch overwrites the gradients, so nothing needs to be
  /// zeroed.
  void begin_micro_batch(int64_t index);
  /// Before the backward of `unit`: where its gradients are overwritten, operations may write them
  /// where they belong, and nothing is copied.
  void offer_places(std::size_t unit);
  /// Gradients of all parameters of `unit`, in its order; undefined = zero.
  void add(std::size_t unit, const std::vector<at::Tensor>& gradients);
  /// Waits for the sums. Afterwards every FlatUnit::grad is complete. Throws titan::Error where
  /// micro-batches or units are missing, or a peer is gone.
  void finish();

  /// Memory of whole gradients and of messages.
  int64_t buffer_bytes() const;

 private:
  /// A unit's gradients on their way to the ranks that hold them.
  struct Scatter {
    std::size_t unit = 0;
    std::optional<std::size_t> input_slot = {};   ///< whole gradients, where they are not kept
    std::optional<std::size_t> output_slot = {};  ///< this rank's sum, where it is not yet in place
    at::Tensor output = {};
    PendingCollective pending = {};
  };
  struct Bucket {
    at::Tensor target = {};   ///< slice of the gradients
    at::Tensor message = {};  ///< the same or a copy in the reduce dtype
    PendingCollective pending = {};
  };

  bool sharded() const { return parameters_.options().shard.ranks > 1; }
  bool last_micro_batch() const { return micro_batch_ + 1 == accumulation_; }
  /// Whether whole gradients of all units are kept in float32.
  bool keeps_whole() const;
  void make_whole();
  void accumulate(const std::vector<at::Tensor>& targets, const std::vector<at::Tensor>& gradients,
                  bool overwrite) const;
  std::vector<at::Tensor> parameter_views(std::size_t unit, const at::Tensor& flat) const;
  void start_scatter(std::size_t unit, const at::Tensor& whole, std::optional<std::size_t> slot);
  void complete_oldest_scatter();
  void slice_done(std::size_t unit);
  void reduce_over_replicas(int64_t begin);

  FlatParameters& parameters_;
  Communicator shards_;
  Communicator replicas_;
  GradientReductionOptions options_;
  SlotMemory messages_;
  std::vector<at::Tensor> whole_;               ///< per unit, float32, where kept
  std::vector<std::vector<at::Tensor>> views_;  ///< of `whole_`, in the parameters' shapes
  std::vector<int64_t> starts_;  ///< per unit: first element in parameters.gradients()
  std::optional<ops::GradientPlaces> places_;
  int64_t accumulation_ = 0;
  int64_t micro_batch_ = -1;
  std::size_t next_unit_ = 0;  ///< units not yet seen in this backward
  int64_t unreduced_end_ = 0;  ///< elements from here on are on their way to the replicas
  std::deque<Scatter> scatters_;
  std::vector<Bucket> buckets_;
};

}  // namespace titan::parallel
