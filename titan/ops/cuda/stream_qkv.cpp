// CUDA implementations of titan::joint_qkv, titan::parallel_qkv and their backwards; part of
// libtitan_cuda.so. Schemas, checks and derivatives: titan/ops/joint_qkv.cpp, parallel_qkv.cpp.
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "titan/ops/cuda/on_stream.h"
#include "titan/ops/stream_qkv_kernel.h"

namespace titan::ops {
namespace {

using at::Tensor;
using c10::cuda::CUDAGuard;

struct CudaKernels {
  static int64_t partial_size(const kernels::StreamQkvProblem& problem) {
    return kernels::cuda::stream_qkv_partial_size(problem);
  }
  static constexpr OnStream<kernels::cuda::stream_qkv_forward> forward{};
  static constexpr OnStream<kernels::cuda::stream_qkv_backward> backward{};
  static constexpr OnStream<kernels::cuda::gelu_forward> gelu_forward{};
  static constexpr OnStream<kernels::cuda::gelu_backward> gelu_backward{};
};

void check_head_dim(const Tensor& scale) {
  constexpr int64_t kMaxHeadDim = 256;  // a warp holds a head in registers
  TITAN_CHECK(scale.size(0) <= kMaxHeadDim, "[stream_qkv] the CUDA kernel takes heads up to ",
              kMaxHeadDim, " wide (D_head=", scale.size(0), "); use kernels.backend=reference");
}

detail::JointForward joint_qkv(const Tensor& txt, const Tensor& txt_q, const Tensor& txt_k,
                               const Tensor& img, const Tensor& img_q, const Tensor& img_k,
                               const Tensor& rope, int64_t heads, double eps) {
  const CUDAGuard guard(txt.device());
  check_head_dim(txt_q);
  return detail::run_joint_forward<CudaKernels>(txt, txt_q, txt_k, img, img_q, img_k, rope, heads,
                                                eps);
}

detail::JointBackward joint_qkv_backward(const Tensor& grad_q, const Tensor& grad_k,
                                         const Tensor& grad_v, const Tensor& txt,
                                         const Tensor& txt_q, const Tensor& txt_k,
                                         const Tensor& img, const Tensor& img_q,
                                         const Tensor& img_k, const Tensor& rope,
                                         const Tensor& q_rstd, const Tensor& k_rstd) {
  const CUDAGuard guard(txt.device());
  return detail::run_joint_backward<CudaKernels>(grad_q, grad_k, grad_v, txt, txt_q, txt_k, img,
                                                 img_q, img_k, rope, q_rstd, k_rstd);
}

detail::ParallelForward parallel_qkv(const Tensor& y, const Tensor& q_scale, const Tensor& k_scale,
                                     const Tensor& rope, int64_t heads, double eps,
                                     bool with_inner) {
  const CUDAGuard guard(y.device());
  check_head_dim(q_scale);
  return detail::run_parallel_forward<CudaKernels>(y, q_scale, k_scale, rope, heads, eps,
                                                   with_inner);
}

detail::ParallelBackward parallel_qkv_backward(const Tensor& grad_q, const Tensor& grad_k,
                                               const Tensor& grad_v, const Tensor& grad_inner,
                                               const Tensor& y, const Tensor& q_scale,
                                               const Tensor& k_scale, const Tensor& rope,
                                               const Tensor& q_rstd, const Tensor& k_rstd) {
  const CUDAGuard guard(y.device());
  return detail::run_parallel_backward<CudaKernels>(grad_q, grad_k, grad_v, grad_inner, y, q_scale,
                                                    k_scale, rope, q_rstd, k_rstd);
}

TORCH_LIBRARY_IMPL(titan, CUDA, m) {
  m.impl("joint_qkv", TORCH_FN(joint_qkv));
  m.impl("joint_qkv_backward", TORCH_FN(joint_qkv_backward));
  m.impl("parallel_qkv", TORCH_FN(parallel_qkv));
  m.impl("parallel_qkv_backward", TORCH_FN(parallel_qkv_backward));
}

}  // namespace
}  // namespace titan::ops
