// elementwise_kernel.h: from tensors to the raw-pointer kernels of elementwise.h and mse.h, the
// same for every device; the device's kernel is given as a function. Included by the ops' own files
// and by the CUDA library.
#pragma once

#include <tuple>

#include <ATen/ATen.h>

#include "titan/kernels/elementwise.h"
#include "titan/kernels/mse.h"
#include "titan/ops/dispatch.h"

namespace titan::ops::detail {

/// A contiguous x as rows of its last dimension.
inline kernels::GeluProblem gelu_problem(const at::Tensor& x) {
  const int64_t columns = x.dim() == 0 ? 1 : x.size(-1);
  return {.rows = columns == 0 ? 0 : x.numel() / columns,
          .columns = columns,
          .x_stride = columns,
          .out_stride = columns,
          .storage = storage_of(x)};
}

template <class Kernel>
at::Tensor run_gelu_forward(const Kernel& kernel, const at::Tensor& x_in) {
  const at::Tensor x = x_in.contiguous();
  at::Tensor out = at::empty_like(x);
  kernel(gelu_problem(x), x.const_data_ptr(), out.mutable_data_ptr());
  return out;
}

template <class Kernel>
at::Tensor run_gelu_backward(const Kernel& kernel, const at::Tensor& grad_in,
                             const at::Tensor& x_in) {
  const at::Tensor x = x_in.contiguous(), grad = grad_in.to(x.scalar_type()).contiguous();
  at::Tensor grad_x = at::empty_like(x);
  kernel(gelu_problem(x), grad.const_data_ptr(), x.const_data_ptr(), grad_x.mutable_data_ptr());
  return grad_x;
}

template <class Kernel>
at::Tensor run_swiglu_forward(const Kernel& kernel, const at::Tensor& a_in,
                              const at::Tensor& b_in) {
  const at::Tensor a = a_in.contiguous(), b = b_in.contiguous();
  at::Tensor out = at::empty_like(a);
  kernel(storage_of(a), a.numel(), a.const_data_ptr(), b.const_data_ptr(), out.mutable_data_ptr());
  return out;
}

/// Gradients of a and b.
template <class Kernel>
std::tuple<at::Tensor, at::Tensor> run_swiglu_backward(const Kernel& kernel,
                                                       const at::Tensor& grad_in,
                                                       const at::Tensor& a_in,
                                                       const at::Tensor& b_in) {
  const at::Tensor grad = grad_in.to(a_in.scalar_type()).contiguous();
  const at::Tensor a = a_in.contiguous(), b = b_in.contiguous();
  at::Tensor grad_a = at::empty_like(a), grad_b = at::empty_like(b);
  kernel(storage_of(a), a.numel(), grad.const_data_ptr(), a.const_data_ptr(), b.const_data_ptr(),
         grad_a.mutable_data_ptr(), grad_b.mutable_data_ptr());
  return {grad_a, grad_b};
}

template <class Kernel>
at::Tensor run_rope(const Kernel& kernel, const at::Tensor& x_in, const at::Tensor& table_in,
                    bool inverse) {
  const at::Tensor x = x_in.contiguous();
  const at::Tensor table = table_in.contiguous();
  at::Tensor out = at::empty_like(x);
  const kernels::RopeProblem problem{.batch = x.size(0),
                                     .tokens = x.size(1),
                                     .heads = x.size(2),
                                     .head_dim = x.size(3),
                                     .inverse = inverse,
                                     .storage = storage_of(x)};
  kernel(problem, x.const_data_ptr(), table.const_data_ptr<float>(), out.mutable_data_ptr());
  return out;
}

/// The gate in x's dtype with unit column stride.
inline at::Tensor kernel_gate(const at::Tensor& gate, const at::Tensor& x) {
  const at::Tensor same = gate.to(x.scalar_type());
  return same.stride(1) == 1 ? same : same.contiguous();
}

inline kernels::ResidualProblem residual_problem(const at::Tensor& x, const at::Tensor& gate) {
  return {.batch = x.size(0),
          .tokens = x.size(1),
          .dim = x.size(2),
          .gate_stride = gate.stride(0),
          .storage = storage_of(x)};
}

template <class Kernel>
at::Tensor run_residual_forward(const Kernel& kernel, const at::Tensor& x_in,
                                const at::Tensor& branch_in, const at::Tensor& gate_in) {
  const at::Tensor x = x_in.contiguous(), branch = branch_in.to(x.scalar_type()).contiguous();
  const at::Tensor gate = kernel_gate(gate_in, x);
  at::Tensor out = at::empty_like(x);
  kernel(residual_problem(x, gate), x.const_data_ptr(), branch.const_data_ptr(),
         gate.const_data_ptr(), out.mutable_data_ptr());
  return out;
}

/// Gradients of branch and gate.
template <class Kernel>
std::tuple<at::Tensor, at::Tensor> run_residual_backward(const Kernel& kernel,
                                                         const at::Tensor& grad_in,
                                                         const at::Tensor& branch_in,
                                                         const at::Tensor& gate_in) {
  const at::Tensor grad = grad_in.contiguous(),
                   branch = branch_in.to(grad.scalar_type()).contiguous();
  const at::Tensor gate = kernel_gate(gate_in, grad);
  at::Tensor grad_branch = at::empty_like(branch);
  at::Tensor grad_gate = at::empty(gate.sizes(), gate.options().dtype(at::kFloat));
  kernel(residual_problem(grad, gate), grad.const_data_ptr(), branch.const_data_ptr(),
         gate.const_data_ptr(), grad_branch.mutable_data_ptr(),
         grad_gate.mutable_data_ptr<float>());
  return {grad_branch, grad_gate.to(gate_in.scalar_type())};
}

inline kernels::MseProblem mse_problem(const at::Tensor& prediction) {
  const int64_t batch = prediction.size(0);
  return {.batch = batch,
          .elements = batch == 0 ? 0 : prediction.numel() / batch,
          .storage = storage_of(prediction)};
}

template <class Kernel>
at::Tensor run_mse_forward(const Kernel& kernel, const at::Tensor& prediction_in,
                           const at::Tensor& target_in) {
  const at::Tensor prediction = prediction_in.contiguous();
  const at::Tensor target = target_in.to(at::kFloat).contiguous();
  const kernels::MseProblem problem = mse_problem(prediction);
  const at::TensorOptions float32 = prediction.options().dtype(at::kFloat);
  at::Tensor out = at::empty({problem.batch}, float32);
  const at::Tensor partial = at::empty({kernels::mse_partial_size(problem)}, float32);
  kernel(problem, prediction.const_data_ptr(), target.const_data_ptr<float>(),
         out.mutable_data_ptr<float>(), partial.mutable_data_ptr<float>());
  return out;
}

template <class Kernel>
at::Tensor run_mse_backward(const Kernel& kernel, const at::Tensor& grad_in,
                            const at::Tensor& prediction_in, const at::Tensor& target_in) {
  const at::Tensor prediction = prediction_in.contiguous();
  const at::Tensor target = target_in.to(at::kFloat).contiguous();
  const at::Tensor grad = grad_in.to(at::kFloat).contiguous();
  at::Tensor grad_prediction = at::empty_like(prediction);
  kernel(mse_problem(prediction), grad.const_data_ptr<float>(), prediction.const_data_ptr(),
         target.const_data_ptr<float>(), grad_prediction.mutable_data_ptr());
  return grad_prediction;
}

}  // namespace titan::ops::detail
