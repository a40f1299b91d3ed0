#include "titan/parallel/gradient_reduction.h"

#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_zero.h>
#include <ATen/ops/zeros.h>

#include "titan/base/check.h"

namespace titan::parallel {
namespace {
// Reductions under way at a time: one is sent while the next is packed.
constexpr std::size_t kScattersInFlight = 2;

/// What lies between parameters and behind the last.
std::vector<at::Tensor> padding_views(const UnitLayout& layout, const at::Tensor& flat) {
  std::vector<at::Tensor> views;
  for (std::size_t i = 0; i < layout.parameters.size(); ++i) {
    const int64_t begin = layout.parameters[i].local_offset + layout.parameters[i].length;
    const bool last = i + 1 == layout.parameters.size();
    const int64_t end = last ? layout.length : layout.parameters[i + 1].local_offset;
    if (end > begin) views.push_back(flat.narrow(0, begin, end - begin));
  }
  return views;
}

/// Whether an operation wrote the gradient where it belongs (ops/gradient_place.h).
bool is_in_place(const at::Tensor& gradient, const at::Tensor& target) {
  return gradient.const_data_ptr() == target.const_data_ptr() &&
         gradient.sizes() == target.sizes() && gradient.strides() == target.strides();
}
}  // namespace

GradientReduction::GradientReduction(FlatParameters& parameters, Communicator shards,
                                     Communicator replicas, GradientReductionOptions options)
    : parameters_(parameters),
      shards_(std::move(shards)),
      replicas_(std::move(replicas)),
      options_(options),
      messages_(parameters.compute_options().device()) {
  TITAN_CHECK(shards_.size() == parameters.options().shard.ranks,
              "[gradients] the group holds the slices (group=", shards_.size(),
              ", slices=", parameters.options().shard.ranks, ")");
  int64_t start = 0;
  for (const FlatUnit& unit : parameters_.units()) {
    starts_.push_back(start);
    start += unit.grad.numel();
  }
  whole_.resize(parameters_.units().size());
  views_.resize(parameters_.units().size());
  // Where parameters stay whole, so do their gradients.
  if (parameters_.options().resident) make_whole();
}

bool GradientReduction::keeps_whole() const { return !whole_.empty() && whole_.back().defined(); }

std::vector<at::Tensor> GradientReduction::parameter_views(std::size_t unit,
                                                           const at::Tensor& flat) const {
  std::vector<at::Tensor> views;
  for (const Fragment& parameter : parameters_.layouts()[unit].parameters)
    views.push_back(fragment_view(flat, parameter).view(parameter.shape));
  return views;
}

void GradientReduction::make_whole() {
  const FlatParametersOptions& options = parameters_.options();
  const auto on_device = parameters_.compute_options().dtype(at::kFloat);
  for (std::size_t u = 0; u < whole_.size(); ++u) {
    const FlatUnit& unit = parameters_.units()[u];
    const bool in_place = !sharded() && !options.offload;
    const int64_t length = unit.grad.numel() == 0 ? 0 : parameters_.layouts()[u].length;
    whole_[u] = in_place ? unit.grad : at::zeros({length}, on_device);
    if (length > 0) views_[u] = parameter_views(u, whole_[u]);
  }
}

int64_t GradientReduction::buffer_bytes() const {
  int64_t bytes = messages_.total_bytes();
  for (std::size_t u = 0; u < whole_.size(); ++u) {
    if (whole_[u].defined() && !whole_[u].is_alias_of(parameters_.gradients()))
      bytes += static_cast<int64_t>(whole_[u].nbytes());
  }
  return bytes;
}

void GradientReduction::begin_step(int64_t accumulation) {
  TITAN_CHECK(accumulation >= 1,
              "[gradients] a step has at least one micro-batch (accumulation=", accumulation, ")");
  TITAN_CHECK(buckets_.empty() && scatters_.empty(),
              "[gradients] finish() must end a step before the next begins");
  TITAN_CHECK(accumulation == 1 || parameters_.gradients().scalar_type() == at::kFloat,
              "[gradients] micro-batches are added up in float32 (gradients=",
              parameters_.gradients().scalar_type(), ", accumulation=", accumulation, ")");
  accumulation_ = accumulation;
  micro_batch_ = -1;
  next_unit_ = 0;
  unreduced_end_ = parameters_.gradients().numel();
  if (accumulation > 1 && !options_.each_micro_batch && !keeps_whole()) make_whole();
}

void GradientReduction::begin_micro_batch(int64_t index) {
  TITAN_CHECK(index == micro_batch_ + 1 && index < accumulation_ && next_unit_ == 0,
              "[gradients] micro-batches come in order, each after a whole backward (index=", index,
              ", last=", micro_batch_, ", accumulation=", accumulation_,
              ", units left=", next_unit_, ")");
  micro_batch_ = index;
  next_unit_ = whole_.size();
}

void GradientReduction::offer_places(std::size_t unit) {
  places_.reset();
  const FlatParametersOptions& options = parameters_.options();
  if (!keeps_whole() || micro_batch_ != 0 || !options.resident ||
      options.compute_dtype != at::kFloat || views_[unit].empty())
    return;
  places_.emplace(parameter_views(unit, parameters_.whole(unit)), views_[unit]);
}

void GradientReduction::add(std::size_t unit, const std::vector<at::Tensor>& gradients) {
  TITAN_CHECK(unit + 1 == next_unit_,
              "[gradients] they come from the last unit to the first (unit=", unit,
              ", units left=", next_unit_, ")");
  const UnitLayout& layout = parameters_.layouts()[unit];
  TITAN_CHECK(gradients.size() == layout.parameters.size(),
              "[gradients] one gradient per parameter (unit=", layout.name,
              ", gradients=", gradients.size(), ", parameters=", layout.parameters.size(), ")");
  next_unit_ = unit;
  places_.reset();
  const at::NoGradGuard no_grad;
  if (!layout.trainable()) return;
  if (keeps_whole()) {
    accumulate(views_[unit], gradients, /*overwrite=*/micro_batch_ == 0);
    if (!last_micro_batch()) return;
    if (whole_[unit].data_ptr() == parameters_.units()[unit].grad.data_ptr() && !sharded()) {
      slice_done(unit);
    } else {
      start_scatter(unit, whole_[unit], std::nullopt);
    }
    return;
  }
  const std::size_t slot = messages_.acquire(layout.length, options_.dtype);
  const at::Tensor whole = messages_.view(slot, layout.length, options_.dtype);
  accumulate(parameter_views(unit, whole), gradients, /*overwrite=*/true);
  // The slot held another unit's message; the norm and the update cover padding, too.
  for (const at::Tensor& padding : padding_views(layout, whole)) padding.zero_();
  start_scatter(unit, whole, slot);
}

void GradientReduction::accumulate(const std::vector<at::Tensor>& targets,
                                   const std::vector<at::Tensor>& gradients, bool overwrite) const {
  std::vector<at::Tensor> used_targets, values, unused;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (gradients[i].defined()) {
      if (overwrite && is_in_place(gradients[i], targets[i])) continue;
      used_targets.push_back(targets[i]);
      values.push_back(gradients[i]);
    } else {
      unused.push_back(targets[i]);
    }
  }
  if (!used_targets.empty()) {
    if (overwrite) {
      at::_foreach_copy_(used_targets, values);
    } else {
      at::_foreach_add_(used_targets, values);
    }
  }
  if (overwrite && !unused.empty()) at::_foreach_zero_(unused);
}

/// Sends a unit's whole gradients to the ranks that hold them. `slot`: what `whole` occupies, if it
/// is a message already.
void GradientReduction::start_scatter(std::size_t unit, const at::Tensor& whole,
                                      std::optional<std::size_t> slot) {
  Scatter scatter{.unit = unit, .input_slot = slot};
  at::Tensor input = whole;
  if (input.scalar_type() != options_.dtype) {
    scatter.input_slot = messages_.acquire(whole.numel(), options_.dtype);
    input = messages_.view(*scatter.input_slot, whole.numel(), options_.dtype);
    input.copy_(whole);
  }
  const at::Tensor& grad = parameters_.units()[unit].grad;
  const bool first = keeps_whole() || micro_batch_ == 0;
  if (first && grad.device() == input.device() && options_.dtype == grad.scalar_type()) {
    scatter.output = grad;
  } else {
    scatter.output_slot = messages_.acquire(grad.numel(), options_.dtype);
    scatter.output = messages_.view(*scatter.output_slot, grad.numel(), options_.dtype);
  }
  scatter.pending = shards_.reduce_scatter_async_(scatter.output, input);
  scatters_.push_back(std::move(scatter));
  if (scatters_.size() > kScattersInFlight) complete_oldest_scatter();
}

void GradientReduction::complete_oldest_scatter() {
  Scatter scatter = std::move(scatters_.front());
  scatters_.pop_front();
  scatter.pending.wait();
  const at::Tensor& grad = parameters_.units()[scatter.unit].grad;
  const bool first = keeps_whole() || micro_batch_ == 0;
  if (scatter.output_slot) {
    if (first) {
      grad.copy_(scatter.output);
    } else {
      grad.add_(scatter.output.to(grad.options()));
    }
    messages_.release(*scatter.output_slot);
  }
  if (scatter.input_slot) messages_.release(*scatter.input_slot);
  if (last_micro_batch()) slice_done(scatter.unit);
}

/// This rank's slice of the unit is complete but for the replicas. Units come in order.
void GradientReduction::slice_done(std::size_t unit) {
  const int64_t waiting = unreduced_end_ - starts_[unit];
  if (waiting * static_cast<int64_t>(c10::elementSize(options_.dtype)) >= options_.bucket_bytes)
    reduce_over_replicas(starts_[unit]);
}

/// Starts summing all that is complete and not yet under way, from element `begin` on.
void GradientReduction::reduce_over_replicas(int64_t begin) {
  const int64_t length = unreduced_end_ - begin;
  unreduced_end_ = begin;
  if (replicas_.size() == 1 || length == 0) return;
  Bucket bucket{.target = parameters_.gradients().narrow(0, begin, length)};
  bucket.message = bucket.target;
  const at::TensorOptions wanted = parameters_.compute_options().dtype(options_.dtype);
  if (bucket.target.scalar_type() != options_.dtype || bucket.target.device() != wanted.device())
    bucket.message = bucket.target.to(wanted);
  bucket.pending = replicas_.all_reduce_async_(bucket.message);
  buckets_.push_back(std::move(bucket));
}

void GradientReduction::finish() {
  TITAN_CHECK(last_micro_batch() && next_unit_ == 0,
              "[gradients] a step ends after its last backward (micro-batch=", micro_batch_,
              ", accumulation=", accumulation_, ", units left=", next_unit_, ")");
  const at::NoGradGuard no_grad;
  while (!scatters_.empty()) complete_oldest_scatter();
  reduce_over_replicas(0);
  // Taken out first: after an exception the step is over all the same.
  for (Bucket& bucket : std::exchange(buckets_, {})) {
    bucket.pending.wait();
    if (!bucket.message.is_same(bucket.target)) bucket.target.copy_(bucket.message);
  }
}

}  // namespace titan::parallel
