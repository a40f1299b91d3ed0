// recompute.h: a block whose inside is not kept for backward but computed a second time (Chen et
// al. 2016, arXiv:1604.06174).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/ops/kept.h"
#include "titan/protocols/block.h"
#include "titan/protocols/rng_state.h"

namespace titan {

/// One block between its first pass and its recompute. It holds the block's input (tensors that
/// several blocks pass on are held once: they share storage), the chosen results, and the state of
/// the random generators if the block drew from them.
class RecomputedBlock {
 public:
  RecomputedBlock(Block& block, BlockState input, const ops::KeepPolicy& keep);

  /// Runs the block without recording. Called once.
  BlockState first_pass();
  /// The same again, recorded from the input's leaves: the tensors of the state that lie in
  /// `slots`, as BlockState::for_each counts. What was held is given back. Called once. Throws
  /// titan::Error where the block does not do the same twice, or its input was changed in place.
  std::vector<at::Tensor> again(const std::vector<std::size_t>& slots);

 private:
  void check_input_unchanged() const;

  Block* block_;
  BlockState input_;
  ops::KeptResults kept_;
  at::Device device_ = at::kCPU;
  std::optional<RngState> rng_;    ///< only if the block drew random numbers
  std::vector<int64_t> versions_;  ///< of the input's tensors
  std::size_t num_outputs_ = 0;
};

}  // namespace titan
