// modulate_norm_kernel.h: from tensors to the raw-pointer kernel, the same for every device; the
// device's kernel is given as a function. Included by modulate_norm.cpp and by the CUDA library.
#pragma once

#include <tuple>
#include <vector>

#include <ATen/ATen.h>

#include "titan/kernels/modulate_norm.h"
#include "titan/ops/dispatch.h"

namespace titan::ops::detail {

using NormForwardResult =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;  // h, y, mean, rstd
/// Gradients of x, branch, gate, weight, bias, scale, shift.
using NormBackwardResult =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// Parameters brought to one dtype and unit column stride; holds what its pointers point to.
struct HeldParameters {
  kernels::NormParameters raw;
  kernels::StorageType storage = kernels::StorageType::kFloat32;
  std::vector<at::Tensor> held;

  HeldParameters(const OptionalTensor& weight, const OptionalTensor& bias,
                 const OptionalTensor& scale, const OptionalTensor& shift,
                 const OptionalTensor& gate) {
    bool all_bfloat16 = true;
    for (const OptionalTensor* one : {&weight, &bias, &scale, &shift, &gate}) {
      if (one->has_value() && (*one)->scalar_type() != at::kBFloat16) all_bfloat16 = false;
    }
    const at::ScalarType dtype = all_bfloat16 ? at::kBFloat16 : at::kFloat;
    storage = all_bfloat16 ? kernels::StorageType::kBFloat16 : kernels::StorageType::kFloat32;
    raw.weight = hold(weight, dtype).data;
    raw.bias = hold(bias, dtype).data;
    raw.scale = hold(scale, dtype);
    raw.shift = hold(shift, dtype);
    raw.gate = hold(gate, dtype);
  }

 private:
  kernels::SampleRows hold(const OptionalTensor& tensor, at::ScalarType dtype) {
    if (!tensor.has_value()) return {};
    at::Tensor kept = tensor->to(dtype);
    if (kept.stride(-1) != 1) kept = kept.contiguous();
    held.push_back(kept);
    return {kept.const_data_ptr(), kept.dim() == 2 ? kept.stride(0) : 0};
  }
};

inline kernels::NormProblem norm_problem(const at::Tensor& x, const HeldParameters& parameters,
                                         double eps, bool rms) {
  return {.batch = x.size(0),
          .tokens = x.size(1),
          .dim = x.size(2),
          .eps = static_cast<float>(eps),
          .rms = rms,
          .storage = storage_of(x),
          .param_storage = parameters.storage,
          // A GPU needs more blocks than a CPU has threads.
          .rows_per_task = x.is_cuda() ? 32 : 64};
}

/// What the threads of a block hold of a row on a GPU.
inline void check_norm_width(const at::Tensor& x) {
  constexpr int64_t kMaxDim = 12288;
  TITAN_CHECK(x.size(2) <= kMaxDim, "[modulate_norm] the CUDA kernel takes widths up to ", kMaxDim,
              " (x=", x.sizes(), "); use kernels.backend=reference");
}

/// What forward writes besides h and the statistics.
struct NormForwardWanted {
  bool y = true;
  float* amax = nullptr;  ///< on a GPU: see kernels::ModulateNormForward
  bool amax_of_all = false;
};

/// x is contiguous.
template <class Kernel>
NormForwardResult run_norm_forward(Kernel&& kernel, const at::Tensor& x,
                                   const OptionalTensor& branch_in,
                                   const HeldParameters& parameters, double eps, bool rms,
                                   const NormForwardWanted& wanted = {}) {
  const at::Tensor branch =
      branch_in.has_value() ? branch_in->to(x.scalar_type()).contiguous() : at::Tensor();
  const at::Tensor h = branch.defined() ? at::empty_like(x) : at::Tensor();
  const at::Tensor y = wanted.y ? at::empty_like(x) : at::Tensor();
  const at::TensorOptions statistics = x.options().dtype(at::kFloat);
  at::Tensor mean = at::empty({rms ? 0 : x.size(0), x.size(1)}, statistics);
  at::Tensor rstd = at::empty({x.size(0), x.size(1)}, statistics);
  kernel(
      norm_problem(x, parameters, eps, rms), parameters.raw,
      kernels::ModulateNormForward{.x = x.const_data_ptr(),
                                   .branch = branch.defined() ? branch.const_data_ptr() : nullptr,
                                   .h = h.defined() ? h.mutable_data_ptr() : nullptr,
                                   .y = y.defined() ? y.mutable_data_ptr() : nullptr,
                                   .mean = mean.mutable_data_ptr<float>(),
                                   .rstd = rstd.mutable_data_ptr<float>(),
                                   .amax = wanted.amax,
                                   .amax_of_all = wanted.amax_of_all});
  return {h, y, mean, rstd};
}

template <class Kernel>
NormBackwardResult run_norm_backward(Kernel&& kernel, const at::Tensor& grad_y_in,
                                     const OptionalTensor& grad_h_in, const at::Tensor& h,
                                     const OptionalTensor& branch_in, const OptionalTensor& gate,
                                     const OptionalTensor& weight, const OptionalTensor& bias,
                                     const OptionalTensor& scale, const OptionalTensor& shift,
                                     const at::Tensor& mean, const at::Tensor& rstd, bool rms) {
  const at::ScalarType dtype = h.scalar_type();
  const at::Tensor grad_y = grad_y_in.to(dtype).contiguous();
  const at::Tensor grad_h =
      grad_h_in.has_value() ? grad_h_in->to(dtype).contiguous() : at::Tensor();
  const at::Tensor branch =
      branch_in.has_value() ? branch_in->to(dtype).contiguous() : at::Tensor();
  const HeldParameters parameters(weight, bias, scale, shift, gate);
  const kernels::NormProblem problem = norm_problem(h, parameters, 0.0, rms);

  const at::TensorOptions float32 = h.options().dtype(at::kFloat);
  const auto sums = [&](const OptionalTensor& of) {
    return of.has_value() ? at::empty(of->sizes(), float32) : at::Tensor();
  };
  const auto pointer = [](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.mutable_data_ptr<float>() : nullptr;
  };
  const auto like = [](const at::Tensor& grad, const OptionalTensor& of) {
    return grad.defined() ? grad.to(of->scalar_type()) : grad;
  };
  const at::Tensor grad_x = at::empty_like(h);
  const at::Tensor grad_branch = branch.defined() ? at::empty_like(h) : at::Tensor();
  const at::Tensor grad_gate = sums(gate), grad_weight = sums(weight), grad_bias = sums(bias);
  const at::Tensor grad_scale = sums(scale), grad_shift = sums(shift);
  const at::Tensor partial = at::empty({kernels::modulate_norm_partial_size(problem)}, float32);
  kernel(problem, parameters.raw,
         kernels::ModulateNormBackward{
             .grad_y = grad_y.const_data_ptr(),
             .grad_h = grad_h.defined() ? grad_h.const_data_ptr() : nullptr,
             .h = h.const_data_ptr(),
             .branch = branch.defined() ? branch.const_data_ptr() : nullptr,
             .mean = mean.const_data_ptr<float>(),
             .rstd = rstd.const_data_ptr<float>(),
             .grad_x = grad_x.mutable_data_ptr(),
             .grad_branch = branch.defined() ? grad_branch.mutable_data_ptr() : nullptr,
             .grad_weight = pointer(grad_weight),
             .grad_bias = pointer(grad_bias),
             .grad_scale = pointer(grad_scale),
             .grad_shift = pointer(grad_shift),
             .grad_gate = pointer(grad_gate),
             .partial = partial.mutable_data_ptr<float>()});
  return {grad_x,
          grad_branch,
          like(grad_gate, gate),
          like(grad_weight, weight),
          like(grad_bias, bias),
          like(grad_scale, scale),
          like(grad_shift, shift)};
}

}  // namespace titan::ops::detail
