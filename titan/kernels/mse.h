// mse.h: mean squared error of each sample, and its gradient.
//
//   out[b] = mean over i of (prediction[b, i] - target[b, i])^2
//   grad_prediction[b, i] = 2 / elements * grad[b] * (prediction[b, i] - target[b, i])
//
// prediction and its gradient [batch, elements] contiguous, float32 or bfloat16; target float32,
// contiguous; out and grad [batch] float32. Differences and sums are float32. Traffic per element:
// forward 2 reads, backward 2 reads, 1 write.
#pragma once

#include <cstdint>

#include "titan/kernels/storage.h"

struct CUstream_st;

namespace titan::kernels {

struct MseProblem {
  int64_t batch = 0;
  int64_t elements = 0;
  StorageType storage = StorageType::kFloat32;  ///< of prediction
};

/// Floats that `partial` needs.
int64_t mse_partial_size(const MseProblem& problem);

namespace cpu {
void mse_forward(const MseProblem& problem, const void* prediction, const float* target, float* out,
                 float* partial);
void mse_backward(const MseProblem& problem, const float* grad, const void* prediction,
                  const float* target, void* grad_prediction);
}  // namespace cpu

namespace cuda {
/// As on the CPU, on the device of `stream`: a block of 256 threads sums kMseElementsPerTask
/// elements, then one warp a sample adds those sums up. 16 bytes a thread where alignment allows.
void mse_forward(const MseProblem& problem, const void* prediction, const float* target, float* out,
                 float* partial, CUstream_st* stream);
void mse_backward(const MseProblem& problem, const float* grad, const void* prediction,
                  const float* target, void* grad_prediction, CUstream_st* stream);
}  // namespace cuda

/// Elements summed together; part of the result's bits.
constexpr int64_t kMseElementsPerTask = 8192;

/// Tasks of one sample.
inline int64_t mse_tasks(const MseProblem& problem) {
  return (problem.elements + kMseElementsPerTask - 1) / kMseElementsPerTask;
}

}  // namespace titan::kernels
