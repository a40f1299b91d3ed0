#include "titan/optim/adamw.h"

#include <algorithm>
#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/zeros_like.h>

#include "titan/base/check.h"
#include "titan/base/hash.h"

namespace titan::optim {
namespace {

bool matches(const std::string& name, const std::vector<std::string>& parts) {
  return std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
    return !part.empty() && name.find(part) != std::string::npos;
  });
}

/// Splits a unit into runs of one group. A run reaches to the start of the next one, or the end of
/// the buffer: padding is zero in weights, gradients and moments and stays so, and whole cache
/// lines keep the fused update on its vector path.
void append_segments(std::size_t unit_index, const parallel::FlatUnit& unit,
                     const std::vector<std::string>& no_decay,
                     std::vector<AdamW::Segment>& segments) {
  std::vector<parallel::Fragment> fragments = unit.fragments;
  std::sort(fragments.begin(), fragments.end(),
            [](const auto& a, const auto& b) { return a.local_offset < b.local_offset; });
  for (std::size_t i = 0; i < fragments.size(); ++i) {
    const parallel::Fragment& fragment = fragments[i];
    if (!fragment.trainable) continue;
    const bool decay = !matches(fragment.name, no_decay);
    const bool last = i + 1 == fragments.size();
    const int64_t end = last ? unit.master.numel() : fragments[i + 1].local_offset;
    const bool continues = !segments.empty() && segments.back().unit == unit_index &&
                           segments.back().decay == decay &&
                           segments.back().offset + segments.back().length == fragment.local_offset;
    if (continues) {
      segments.back().length = end - segments.back().offset;
    } else {
      segments.push_back({.unit = unit_index,
                          .offset = fragment.local_offset,
                          .length = end - fragment.local_offset,
                          .decay = decay});
    }
  }
}

void check_buffers(const parallel::FlatUnit& unit, const AdamWOptions& options) {
  TITAN_CHECK(unit.grad.numel() == unit.master.numel() || unit.grad.numel() == 0,
              "[adamw] master and grad are of one length (", unit.name, ")");
  if (options.fused) return;
  for (const at::Tensor* tensor : {&unit.master, &unit.grad})
    TITAN_CHECK(tensor->scalar_type() == at::kFloat && options.state_dtype == at::kFloat,
                "[adamw] the plain update is float32 throughout (", unit.name, ")");
}

}  // namespace

AdamWOptions adamw_options(const OptimizerSection& section, std::uint64_t seed) {
  return {.beta1 = section.beta1,
          .beta2 = section.beta2,
          .eps = section.eps,
          .weight_decay = section.name == "Adam" ? 0.0 : section.weight_decay,
          .no_decay = section.no_decay,
          .fused = section.implementation == "fused",
          .state_dtype = section.state_dtype == "bfloat16" ? at::kBFloat16 : at::kFloat,
          .seed = seed};
}

AdamW::AdamW(std::vector<parallel::FlatUnit>& units, AdamWOptions options)
    : units_(units), options_(std::move(options)) {
  for (std::size_t u = 0; u < units_.size(); ++u) {
    check_buffers(units_[u], options_);
    const at::TensorOptions like = units_[u].grad.options().dtype(options_.state_dtype);
    moments_.push_back({.unit = units_[u].name,
                        .exp_avg = at::zeros_like(units_[u].grad, like),
                        .exp_avg_sq = at::zeros_like(units_[u].grad, like)});
    append_segments(u, units_[u], options_.no_decay, segments_);
  }
}

void AdamW::step(const StepState& state, const at::Tensor& clip_coefficient, const at::Tensor& skip,
                 Ema* averages) {
  const at::NoGradGuard no_grad;
  for (const parallel::FlatUnit& unit : units_) check_buffers(unit, options_);
  if (options_.fused) {
    if (units_.empty()) return;
    // Another device than the weights' with training.enable_cpu_offload alone.
    const at::Device device = units_.front().master.device();
    const auto there = [&](const at::Tensor& scalar) {
      return scalar.defined() ? scalar.to(device, at::kFloat) : scalar;
    };
    const ops::AdamWStep step{
        .step = there(state.step),
        .lr = there(state.lr),
        .clip = there(clip_coefficient),
        .skip = there(skip),
        .average_weight = averages != nullptr ? there(state.average_share) : at::Tensor()};
    for (const Segment& segment : segments_) fused_step(segment, step, averages);
    return;
  }
  if (clip_coefficient.defined()) {
    for (const parallel::FlatUnit& unit : units_) unit.grad.mul_(clip_coefficient);
  }
  if (!skip.defined() || skip.item<float>() == 0.0F) {  // host sync
    for (const Segment& segment : segments_) plain_step(state, segment);
  }
  if (averages != nullptr) averages->update(state.host_step);
}

void AdamW::fused_step(const Segment& segment, const ops::AdamWStep& step,
                       const Ema* averages) const {
  const auto part = [&](const at::Tensor& flat) {
    return flat.defined() ? flat.narrow(0, segment.offset, segment.length) : flat;
  };
  const parallel::FlatUnit& unit = units_[segment.unit];
  const MomentState& moments = moments_[segment.unit];
  ops::AdamWBuffers buffers{.weight = part(unit.master),
                            .remainder = part(unit.remainder),
                            .grad = part(unit.grad),
                            .exp_avg = part(moments.exp_avg),
                            .exp_avg_sq = part(moments.exp_avg_sq),
                            .average = {},
                            .copy = part(unit.copy)};
  if (averages != nullptr) buffers.average = part(averages->shadows()[segment.unit]);
  ops::adamw_(buffers, step,
              {.beta1 = options_.beta1,
               .beta2 = options_.beta2,
               .eps = options_.eps,
               .weight_decay = segment.decay ? options_.weight_decay : 0.0,
               .seed = options_.seed,
               .stream = xxh3_64(unit.name),
               .first_element = unit.first_element + segment.offset});
}

// Rate and corrections in float64 tensors on the device, as the fused update has them in registers.
void AdamW::plain_step(const StepState& state, const Segment& segment) {
  const auto part = [&](const at::Tensor& flat) {
    return flat.narrow(0, segment.offset, segment.length);
  };
  const at::Tensor weight = part(units_[segment.unit].master),
                   gradient = part(units_[segment.unit].grad);
  const at::Tensor exp_avg = part(moments_[segment.unit].exp_avg),
                   exp_avg_sq = part(moments_[segment.unit].exp_avg_sq);
  const at::Tensor lr = state.lr.to(at::kDouble), n = state.step.to(at::kDouble);
  const at::Tensor correction1 = 1 - at::pow(options_.beta1, n);
  const at::Tensor correction2 = 1 - at::pow(options_.beta2, n);

  weight.mul_(1 - lr * (segment.decay ? options_.weight_decay : 0.0));
  exp_avg.lerp_(gradient, 1 - options_.beta1);
  exp_avg_sq.mul_(options_.beta2).addcmul_(gradient, gradient, 1 - options_.beta2);
  const at::Tensor denominator = exp_avg_sq.sqrt().div_(correction2.sqrt()).add_(options_.eps);
  weight.sub_((exp_avg / denominator).mul_(lr / correction1));
}

}  // namespace titan::optim
