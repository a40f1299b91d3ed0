// modulate_norm.h: normalisation with adaptive scale and shift, optionally behind the residual that
// feeds it.
//
//   h = x + gate * branch                                   (h = x where branch is null)
//   y = (norm(h) * weight + bias) * (1 + scale) + shift     (a missing term is 1 or 0)
//
// norm is LayerNorm (Ba et al. 2016, arXiv:1607.06450) or RMSNorm (Zhang & Sennrich 2019,
// arXiv:1910.07467) over the last dimension; scale, shift and gate are per sample: adaLN, Peebles &
// Xie 2023, arXiv:2212.09748, section 3.2.
//
// x, branch, h, y and their gradients are [batch, tokens, dim], contiguous, float32 or bfloat16.
// weight, bias [dim]; scale, shift, gate [batch, dim] with any row stride and unit column stride;
// all five of one type. Statistics and sums are float32. Memory traffic per element (in elements):
// forward 2, with residual 4; backward 3, with residual 6.
#pragma once

#include <cstdint>

#include "titan/kernels/storage.h"

struct CUstream_st;

namespace titan::kernels {

struct NormProblem {
  int64_t batch = 0;
  int64_t tokens = 0;
  int64_t dim = 0;
  float eps = 1e-5F;
  bool rms = false;  ///< RMSNorm: no mean is taken away
  StorageType storage = StorageType::kFloat32;
  StorageType param_storage = StorageType::kFloat32;
  /// Rows of one sample whose sums are taken together; part of the result's bits, so fixed for a
  /// device.
  int64_t rows_per_task = 64;

  TITAN_HOST_DEVICE int64_t tasks_per_sample() const {
    return (tokens + rows_per_task - 1) / rows_per_task;
  }
};

/// A [batch, dim] parameter, or nothing.
struct SampleRows {
  const void* data = nullptr;
  int64_t stride = 0;  ///< elements from one sample to the next
};

struct NormParameters {
  const void* weight = nullptr;
  const void* bias = nullptr;
  SampleRows scale;
  SampleRows shift;
  SampleRows gate;  ///< null with a branch: h = x + branch
};

struct ModulateNormForward {
  const void* x = nullptr;
  const void* branch = nullptr;
  void* h = nullptr;      ///< written where there is a branch
  void* y = nullptr;      ///< null on a GPU: not written
  float* mean = nullptr;  ///< [batch, tokens]; untouched by RMSNorm
  float* rstd = nullptr;  ///< [batch, tokens]
  /// On a GPU alone, null where not wanted: largest |y|, as y is stored, of each row [batch,
  /// tokens], or of all rows [1]. NaN where y has one. What float8_quantize takes as has_amax.
  float* amax = nullptr;
  bool amax_of_all = false;
};

struct ModulateNormBackward {
  const void* grad_y = nullptr;
  const void* grad_h = nullptr;  ///< gradient that reaches h by its other uses, or null
  const void* h = nullptr;       ///< x where there was no branch
  const void* branch = nullptr;
  const float* mean = nullptr;
  const float* rstd = nullptr;
  void* grad_x = nullptr;
  void* grad_branch = nullptr;
  // Sums, float32, null where not wanted.
  float* grad_weight = nullptr;  ///< [dim]
  float* grad_bias = nullptr;    ///< [dim]
  float* grad_scale = nullptr;   ///< [batch, dim]
  float* grad_shift = nullptr;   ///< [batch, dim]
  float* grad_gate = nullptr;    ///< [batch, dim]
  float* partial = nullptr;      ///< scratch of modulate_norm_partial_size() floats
};

/// Floats that `partial` needs.
int64_t modulate_norm_partial_size(const NormProblem& problem);

namespace cpu {
void modulate_norm_forward(const NormProblem& problem, const NormParameters& parameters,
                           const ModulateNormForward& io);
void modulate_norm_backward(const NormProblem& problem, const NormParameters& parameters,
                            const ModulateNormBackward& io);
}  // namespace cpu

namespace cuda {
/// As on the CPU; float32 or bfloat16 parameters with float32 or bfloat16 storage (float32
/// parameters where storage is). All pointers are of the device of `stream`; dim at most 12288.
/// Blocks of up to 512 threads hold a row in registers. Forward: one block a row; backward: one for
/// rows_per_task rows of a sample, then two small kernels that add their column sums up in order.
/// Rows are read 16 bytes at a time where every pointer, dim and stride allow it.
void modulate_norm_forward(const NormProblem& problem, const NormParameters& parameters,
                           const ModulateNormForward& io, CUstream_st* stream);
void modulate_norm_backward(const NormProblem& problem, const NormParameters& parameters,
                            const ModulateNormBackward& io, CUstream_st* stream);
}  // namespace cuda

}  // namespace titan::kernels
