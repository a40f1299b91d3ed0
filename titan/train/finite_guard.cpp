#include "titan/train/finite_guard.h"

#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "titan/parallel/communicator.h"

namespace titan {
namespace {

constexpr int64_t kMaxNamed = 16;  // of one rank; more say nothing more

}  // namespace

FiniteGuard::FiniteGuard(const TrainingSection& section, parallel::Communicator& ranks,
                         std::function<std::string(int64_t)> describe)
    : stop_(section.on_nonfinite == "stop"),
      max_in_a_row_(section.max_nonfinite_steps),
      ranks_(ranks),
      describe_(std::move(describe)) {}

at::Tensor FiniteGuard::unusable(const at::Tensor& grad_norm) {
  return at::isfinite(grad_norm).logical_not_().to(at::kFloat);
}

void FiniteGuard::note(int64_t step, at::Tensor skip, std::vector<MicroBatch> batches) {
  pending_.push_back({step, std::move(skip), std::move(batches)});
}

/// "17 (a.tar:17), 90 (b.tar:12)" of this rank's samples; empty where all are finite.
std::string FiniteGuard::own_bad_samples(const Step& step) const {
  std::string names;
  int64_t count = 0;
  for (const MicroBatch& batch : step.batches) {
    const at::Tensor losses = batch.losses.to(at::kCPU, at::kFloat).contiguous();
    const at::Tensor sample = batch.sample.to(at::kCPU).contiguous();
    for (int64_t i = 0; i < losses.numel(); ++i) {
      if (std::isfinite(losses.const_data_ptr<float>()[i]) || ++count > kMaxNamed) continue;
      const int64_t id = sample.const_data_ptr<int64_t>()[i];
      names += str_cat(names.empty() ? "" : ", ", id, " (", describe_(id), ")");
    }
  }
  if (count > kMaxNamed) names += str_cat(" and ", count - kMaxNamed, " more");
  return names;
}

std::string FiniteGuard::cause_of(const Step& step) const {
  std::string names;
  for (const std::string& text : ranks_.all_gather_text(own_bad_samples(step)))
    if (!text.empty()) names += (names.empty() ? "" : ", ") + text;
  if (!names.empty()) return "the loss is not a finite number for sample " + names;
  int64_t first = -1, last = -1;
  for (const MicroBatch& batch : step.batches) {
    const int64_t low = batch.sample.min().item<int64_t>(),
                  high = batch.sample.max().item<int64_t>();
    first = first < 0 ? low : std::min(first, low);
    last = std::max(last, high);
  }
  return str_cat("the gradient is not finite though every sample's loss is (rank 0 had samples ",
                 "between ", first, " and ", last, ")");
}

StatusOr<std::vector<NonfiniteStep>> FiniteGuard::check() {
  std::vector<NonfiniteStep> found;
  if (pending_.empty()) return found;
  std::vector<at::Tensor> flags;
  for (const Step& step : pending_) flags.push_back(step.skip);
  const at::Tensor left_out = at::stack(flags).to(at::kCPU).contiguous();  // host sync
  const std::vector<Step> steps = std::move(pending_);
  pending_.clear();
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (left_out.const_data_ptr<float>()[i] == 0.0F) {
      in_a_row_ = 0;
      continue;
    }
    found.push_back({steps[i].step, cause_of(steps[i])});
    ++skipped_;
    ++in_a_row_;
    if (stop_) {
      return internal_error(
          "[train] step ", steps[i].step, ": ", found.back().cause,
          "; its update was left out and the newest checkpoint is untouched. Look at these "
          "samples, "
          "lower optimizer.lr, or rule out titan's own operators with kernels.backend=reference; "
          "training.on_nonfinite=skip goes on without such steps");
    }
    if (in_a_row_ >= max_in_a_row_) {
      return internal_error("[train] ", in_a_row_, " steps in a row were left out ",
                            "(training.max_nonfinite_steps), the last one, step ", steps[i].step,
                            ", because ", found.back().cause);
    }
  }
  return found;
}

}  // namespace titan
