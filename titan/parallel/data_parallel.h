// data_parallel.h: gradients of every unit, summed over micro-batches and ranks.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/parallel/communicator.h"
#include "titan/parallel/flat_parameters.h"
#include "titan/protocols/block_runner.h"

namespace titan::parallel {

struct DataParallelOptions {
  /// Neighbouring units are reduced together until a message has this size: small messages cost
  /// latency, a single big one cannot overlap with backward. 25 MB is the size that PyTorch's DDP
  /// settled on (Li et al. 2020, arXiv:2006.15704, 3.2.3).
  int64_t bucket_bytes = 25LL << 20;
};

/// Adds gradients into FlatUnit::grad (float32, whatever the dtype of computation) and, in the last
/// micro-batch of a step, sums each finished bucket over the ranks while backward goes on. Plain
/// sums: the loss already divides by the global batch. One step: begin_step(n); n times {
/// begin_micro_batch(i); runner.forward_backward(...) }; finish().
class DataParallel : public RunnerHooks {
 public:
  /// Both outlive this object.
  DataParallel(FlatParameters& parameters, Communicator& communicator,
               DataParallelOptions options = {});

  /// `accumulation`: micro-batches of the coming step, at least 1.
  void begin_step(int64_t accumulation);
  /// `index` counts from 0. The first micro-batch overwrites the gradients, so nothing needs to be
  /// zeroed.
  void begin_micro_batch(int64_t index);
  /// Waits for the sums. Afterwards every FlatUnit::grad is complete and equal on all ranks. Throws
  /// titan::Error where micro-batches or units are missing, or a peer is gone.
  void finish();

  void gradients_ready(std::size_t unit, const std::vector<at::Tensor>& gradients) override;

 private:
  void accumulate(std::size_t unit, const std::vector<at::Tensor>& gradients);
  void reduce_finished(std::size_t unit);

  FlatParameters& parameters_;
  Communicator& communicator_;
  DataParallelOptions options_;
  std::vector<std::vector<at::Tensor>>
      views_;                    ///< per unit: its gradients in the parameters' shapes
  std::vector<int64_t> starts_;  ///< per unit: first element in parameters.gradients()
  int64_t accumulation_ = 0;
  int64_t micro_batch_ = -1;
  std::size_t next_unit_ = 0;  ///< units not yet seen in this backward
  int64_t unreduced_end_ = 0;  ///< elements from here on are on their way
  std::vector<PendingCollective> pending_;
};

}  // namespace titan::parallel
