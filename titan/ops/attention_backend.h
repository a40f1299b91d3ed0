// attention_backend.h: which kernel computes softmax attention (attention.backend).
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceType.h>

#include "titan/base/status.h"

namespace titan::ops {

/// What the user asked for. kernels.backend = reference overrules it: then the products and the
/// softmax are taken one by one.
enum class AttentionBackend { kAuto, kCudnn, kFlash, kMath };

/// Chooses for the process and forgets what was measured.
void set_attention_backend(AttentionBackend backend);
/// "auto", "cudnn", "flash" or "math"; invalid_argument for other names, and for cudnn where
/// `device` is not a GPU.
Status set_attention_backend(const std::string& name, c10::DeviceType device);
AttentionBackend attention_backend();

/// The kernels there are: ours (float32 on the CPU), LibTorch's flash attention and cuDNN's (both
/// on a GPU), whatever LibTorch itself picks, plain products and softmax.
enum class AttentionKernel { kOwn, kFlash, kCudnn, kLibtorch, kMath };
const char* name_of(AttentionKernel kernel);

/// Runs one kernel: q [B, N, H, D_head], k and v [B, M, H_kv, D_head] to [B, N, H, D_head].
using RunAttention = std::function<at::Tensor(AttentionKernel, const at::Tensor& q,
                                              const at::Tensor& k, const at::Tensor& v)>;

/// The kernel for these tensors. Fixed for a shape from its first call on, so that a recomputed
/// block and a captured graph run what they ran before. With kAuto and several candidates they are
/// run on copies of the inputs and the fastest is kept and logged with all times; an earlier
/// candidate keeps its place unless a later one is clearly faster, so that noise decides nothing.
/// Not measured: problems too small to matter, and where LibTorch's deterministic algorithms are
/// asked for (the first candidate then). A kernel that was asked for but cannot take these tensors
/// is replaced, with one warning. `training`: a backward follows.
AttentionKernel attention_kernel_for(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     bool training, const RunAttention& run);

namespace detail {
/// Index of the candidate to take: the first, unless a later one needs less than 1 / gain of its
/// time (NaN = it cannot run); the fastest of those.
std::size_t pick_kernel(const std::vector<double>& seconds, double gain);
/// Kernels for tensors of this kind, best guess first; never empty.
std::vector<AttentionKernel> candidates(AttentionBackend asked, const at::Tensor& q,
                                        const at::Tensor& k, bool deterministic);
}  // namespace detail

}  // namespace titan::ops
