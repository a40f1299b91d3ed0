#include "titan/parallel/data_parallel.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_zero.h>

#include "titan/base/check.h"

namespace titan::parallel {

DataParallel::DataParallel(FlatParameters& parameters, Communicator& communicator,
                           DataParallelOptions options)
    : parameters_(parameters), communicator_(communicator), options_(options) {
  int64_t start = 0;
  for (const FlatUnit& unit : parameters_.units()) {
    std::vector<at::Tensor> views;
    for (const Fragment& fragment : unit.fragments) {
      views.push_back(fragment_view(unit.grad, fragment).view(fragment.shape));
    }
    views_.push_back(std::move(views));
    starts_.push_back(start);
    start += unit.grad.numel();
  }
}

void DataParallel::begin_step(int64_t accumulation) {
  TITAN_CHECK(accumulation >= 1,
              "[data parallel] a step has at least one micro-batch (accumulation=", accumulation,
              ")");
  TITAN_CHECK(pending_.empty(), "[data parallel] finish() must end a step before the next begins");
  accumulation_ = accumulation;
  micro_batch_ = -1;
  next_unit_ = 0;
  unreduced_end_ = parameters_.gradients().numel();
}

void DataParallel::begin_micro_batch(int64_t index) {
  TITAN_CHECK(
      index == micro_batch_ + 1 && index < accumulation_ && next_unit_ == 0,
      "[data parallel] micro-batches come in order, each after a whole backward (index=", index,
      ", last=", micro_batch_, ", accumulation=", accumulation_, ", units left=", next_unit_, ")");
  micro_batch_ = index;
  next_unit_ = views_.size();
}

void DataParallel::gradients_ready(std::size_t unit, const std::vector<at::Tensor>& gradients) {
  TITAN_CHECK(unit + 1 == next_unit_,
              "[data parallel] gradients come from the last unit to the first (unit=", unit,
              ", units left=", next_unit_, ")");
  next_unit_ = unit;
  accumulate(unit, gradients);
  if (micro_batch_ + 1 == accumulation_) reduce_finished(unit);
}

void DataParallel::accumulate(std::size_t unit, const std::vector<at::Tensor>& gradients) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor>& views = views_[unit];
  TITAN_CHECK(gradients.size() == views.size(),
              "[data parallel] one gradient per parameter (unit=", parameters_.units()[unit].name,
              ", gradients=", gradients.size(), ", parameters=", views.size(), ")");
  std::vector<at::Tensor> targets;
  std::vector<at::Tensor> values;
  std::vector<at::Tensor> unused;
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (gradients[i].defined()) {
      targets.push_back(views[i]);
      values.push_back(gradients[i]);
    } else {
      unused.push_back(views[i]);
    }
  }
  const bool first = micro_batch_ == 0;
  if (!targets.empty()) {
    if (first) {
      at::_foreach_copy_(targets, values);
    } else {
      at::_foreach_add_(targets, values);
    }
  }
  if (first && !unused.empty()) at::_foreach_zero_(unused);
}

void DataParallel::reduce_finished(std::size_t unit) {
  const int64_t begin = starts_[unit];
  const int64_t length = unreduced_end_ - begin;
  const int64_t bytes = length * static_cast<int64_t>(sizeof(float));
  if (unit > 0 && bytes < options_.bucket_bytes) return;
  unreduced_end_ = begin;
  pending_.push_back(
      communicator_.all_reduce_async_(parameters_.gradients().narrow(0, begin, length)));
}

void DataParallel::finish() {
  TITAN_CHECK(micro_batch_ + 1 == accumulation_ && next_unit_ == 0,
              "[data parallel] a step ends after its last backward (micro-batch=", micro_batch_,
              ", accumulation=", accumulation_, ", units left=", next_unit_, ")");
  // Taken out first: after an exception the step is over all the same.
  std::vector<PendingCollective> pending = std::exchange(pending_, {});
  for (PendingCollective& collective : pending) collective.wait();
}

}  // namespace titan::parallel
