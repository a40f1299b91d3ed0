#include "titan/ops/adamw.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>

#include "titan/base/check.h"
#include "titan/kernels/sum_squares.h"
#include "titan/ops/adamw_kernel.h"
#include "titan/ops/device_kernels.h"

namespace titan::ops {
namespace {

using detail::optional;
using detail::OptionalTensor;

void adamw_on_cpu(const at::Tensor& weight, const OptionalTensor& remainder, const at::Tensor& grad,
                  const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq,
                  const OptionalTensor& average, const OptionalTensor& copy, const at::Tensor& step,
                  const at::Tensor& lr, const OptionalTensor& clip, const OptionalTensor& skip,
                  const OptionalTensor& average_weight, double beta1, double beta2, double eps,
                  double weight_decay, int64_t seed, int64_t stream, int64_t first_element) {
  kernels::adamw_cpu(detail::adamw_run(weight, remainder, grad, exp_avg, exp_avg_sq, average, copy,
                                       step, lr, clip, skip, average_weight, beta1, beta2, eps,
                                       weight_decay, seed, stream, first_element));
}

at::Tensor sum_squares_on_cpu(at::TensorList tensors) {
  double total = 0;
  for (const at::Tensor& tensor : tensors)
    total += kernels::sum_squares_cpu(detail::storage_of(tensor), tensor.const_data_ptr(),
                                      tensor.numel());
  return at::scalar_tensor(total, at::TensorOptions().dtype(at::kDouble));
}

bool is_number(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16;
}

void check_buffer(const char* name, const at::Tensor& tensor, const at::Tensor& weight,
                  bool right_dtype) {
  TITAN_CHECK(tensor.defined() && tensor.dim() == 1 && tensor.is_contiguous() &&
                  tensor.numel() == weight.numel() && tensor.device() == weight.device() &&
                  right_dtype,
              "[adamw] ", name, " does not fit (", tensor.sizes(), " ", tensor.scalar_type(),
              " on ", tensor.device(), "; weights: ", weight.sizes(), " ", weight.scalar_type(),
              " on ", weight.device(), ")");
}

void check_scalar(const char* name, const at::Tensor& tensor, const at::Tensor& weight) {
  TITAN_CHECK(tensor.numel() == 1 && tensor.scalar_type() == at::kFloat &&
                  tensor.device() == weight.device(),
              "[adamw] ", name, " is one float32 on ", weight.device(), " (", tensor.sizes(), " ",
              tensor.scalar_type(), " on ", tensor.device(), ")");
}

void check(const AdamWBuffers& b, const AdamWStep& s, const AdamWConstants& c) {
  const bool wide = b.weight.scalar_type() == at::kFloat;
  check_buffer("weight", b.weight, b.weight, is_number(b.weight));
  check_buffer("grad", b.grad, b.weight, is_number(b.grad));
  check_buffer("exp_avg", b.exp_avg, b.weight, is_number(b.exp_avg));
  check_buffer("exp_avg_sq", b.exp_avg_sq, b.weight,
               b.exp_avg_sq.scalar_type() == b.exp_avg.scalar_type());
  if (b.remainder.defined())
    check_buffer("remainder", b.remainder, b.weight,
                 !wide && b.remainder.scalar_type() == at::kShort);
  if (b.copy.defined())
    check_buffer("copy", b.copy, b.weight, wide && b.copy.scalar_type() == at::kBFloat16);
  if (b.average.defined())
    check_buffer("average", b.average, b.weight, b.average.scalar_type() == at::kFloat);
  TITAN_CHECK(b.average.defined() == s.average_weight.defined(),
              "[adamw] an average and its weight come together");
  TITAN_CHECK(c.first_element >= 0 && c.first_element + b.weight.numel() <= (int64_t{1} << 35),
              "[adamw] a buffer has at most 2^35 elements, the range of the block counter (",
              c.first_element + b.weight.numel(), ")");
  check_scalar("step", s.step, b.weight);
  check_scalar("lr", s.lr, b.weight);
  if (s.clip.defined()) check_scalar("clip", s.clip, b.weight);
  if (s.skip.defined()) check_scalar("skip", s.skip, b.weight);
  if (s.average_weight.defined()) check_scalar("average_weight", s.average_weight, b.weight);
}

}  // namespace

void adamw_(const AdamWBuffers& b, const AdamWStep& s, const AdamWConstants& c) {
  check(b, s, c);
  if (b.weight.numel() == 0) return;
  static const auto op = detail::find_op<decltype(adamw_on_cpu)>("titan::adamw_");
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  op.call(b.weight, optional(b.remainder), b.grad, b.exp_avg, b.exp_avg_sq, optional(b.average),
          optional(b.copy), s.step, s.lr, optional(s.clip), optional(s.skip),
          optional(s.average_weight), c.beta1, c.beta2, c.eps, c.weight_decay,
          static_cast<int64_t>(c.seed), static_cast<int64_t>(c.stream), c.first_element);
}

at::Tensor sum_squares(const std::vector<at::Tensor>& tensors) {
  TITAN_CHECK(!tensors.empty(), "[sum_squares] needs at least one tensor");
  for (const at::Tensor& tensor : tensors)
    TITAN_CHECK(
        tensor.is_contiguous() && is_number(tensor) && tensor.device() == tensors.front().device(),
        "[sum_squares] tensors are contiguous float32 or bfloat16 on one device (",
        tensor.scalar_type(), " on ", tensor.device(), ")");
  if (tensors.front().is_cuda() && !device_kernels()) {
    at::Tensor total = at::zeros({}, tensors.front().options().dtype(at::kDouble));
    for (const at::Tensor& tensor : tensors)
      total +=
          at::linalg_vector_norm(tensor, 2, /*dim=*/std::nullopt, /*keepdim=*/false, at::kDouble)
              .square_();
    return total;
  }
  static const auto op = detail::find_op<decltype(sum_squares_on_cpu)>("titan::sum_squares");
  return op.call(tensors);
}

TORCH_LIBRARY_FRAGMENT(titan, m) {
  m.def(
      "adamw_(Tensor(a!) weight, Tensor(b!)? remainder, Tensor grad, Tensor(c!) exp_avg, "
      "Tensor(d!) "
      "exp_avg_sq, Tensor(e!)? average, Tensor(f!)? copy, Tensor step, Tensor lr, Tensor? clip, "
      "Tensor? skip, Tensor? average_weight, float beta1, float beta2, float eps, float "
      "weight_decay, int seed, int stream, int first_element) -> ()");
  m.def("sum_squares(Tensor[] tensors) -> Tensor");
}
TORCH_LIBRARY_IMPL(titan, CPU, m) {
  m.impl("adamw_", &adamw_on_cpu);
  m.impl("sum_squares", &sum_squares_on_cpu);
}
TORCH_LIBRARY_IMPL(titan, Autograd, m) {
  m.impl("sum_squares", torch::autograd::autogradNotImplementedFallback());
}

}  // namespace titan::ops
