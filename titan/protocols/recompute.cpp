#include "titan/protocols/recompute.h"

#include <utility>

#include <ATen/core/grad_mode.h>

#include "titan/base/check.h"
#include "titan/protocols/generator_watch.h"
#include "titan/protocols/graph_cut.h"

namespace titan {
namespace {

at::Device device_of(const BlockState& state) {
  for (const at::Tensor& tensor : tensors_of(state))
    if (tensor.defined()) return tensor.device();
  return at::kCPU;
}

}  // namespace

bool& GeneratorsUnwatched::unwatched() {
  thread_local bool unwatched = false;
  return unwatched;
}

RecomputedBlock::RecomputedBlock(Block& block, BlockState input, const ops::KeepPolicy& keep)
    : block_(&block), input_(std::move(input)), kept_(keep), device_(device_of(input_)) {
  for (const at::Tensor& tensor : tensors_of(input_))
    versions_.push_back(tensor.defined() ? tensor._version() : 0);
}

BlockState RecomputedBlock::first_pass() {
  const at::NoGradGuard no_grad;
  if (!GeneratorsUnwatched::here()) rng_.emplace(device_);
  BlockState output;
  {
    const ops::KeptScope scope(kept_, /*again=*/false);
    output = block_->forward(input_);
  }
  if (rng_.has_value() && *rng_ == RngState(device_)) rng_.reset();
  const std::vector<at::Tensor> outputs = tensors_of(output);
  num_outputs_ = outputs.size();
  kept_.end_first_pass(outputs);
  return output;
}

std::vector<at::Tensor> RecomputedBlock::again(const std::vector<std::size_t>& slots) {
  check_input_unchanged();
  const at::AutoGradMode with_grad(true);
  std::optional<RngScope> rng;
  if (rng_.has_value()) rng.emplace(*rng_, device_);
  BlockState output;
  {
    const ops::KeptScope scope(kept_, /*again=*/true);
    output = block_->forward(std::move(input_));
  }
  kept_.end_recompute();
  const std::vector<at::Tensor> all = tensors_of(output);
  TITAN_CHECK(all.size() == num_outputs_,
              "[recompute] a block left another state than at first (tensors=", all.size(),
              ", at first=", num_outputs_, ")");
  std::vector<at::Tensor> chosen;
  for (const std::size_t slot : slots) {
    TITAN_CHECK(all[slot].defined(),
                "[recompute] a block left a tensor undefined that it gave at first (tensor ", slot,
                " of its state)");
    chosen.push_back(all[slot]);
  }
  return chosen;
}

void RecomputedBlock::check_input_unchanged() const {
  const std::vector<at::Tensor> tensors = tensors_of(input_);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    TITAN_CHECK(!tensors[i].defined() || tensors[i]._version() == versions_[i],
                "[recompute] a block's input was changed in place before it was computed again "
                "(tensor ",
                i, " of its state)");
  }
}

}  // namespace titan
