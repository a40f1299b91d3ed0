#include "titan/kernels/mse.h"

#include "titan/kernels/cuda/pack.cuh"

namespace titan::kernels::cuda {
namespace {

constexpr int kThreads = 256;

/// Block (task, sample) sums its elements.
template <class T, int kVec>
__global__ void __launch_bounds__(kThreads)
    sum_tasks(MseProblem p, const T* prediction, const float* target, float* partial) {
  const int64_t tasks = gridDim.x;
  const int64_t start = blockIdx.x * kMseElementsPerTask;
  const int64_t stop =
      start + kMseElementsPerTask < p.elements ? start + kMseElementsPerTask : p.elements;
  for (int64_t b = blockIdx.y; b < p.batch; b += gridDim.y) {
    float sum = 0.0F;
    for (int64_t i = start + threadIdx.x * kVec; i < stop; i += kThreads * kVec) {
      float value[kVec], wanted[kVec];
      load<kVec>(prediction + b * p.elements, i, value);
      load<kVec>(target + b * p.elements, i, wanted);
#pragma unroll
      for (int k = 0; k < kVec; ++k) sum += (value[k] - wanted[k]) * (value[k] - wanted[k]);
    }
    const float2 all = block_sum<kThreads>(sum, 0.0F);
    if (threadIdx.x == 0) partial[b * tasks + blockIdx.x] = all.x;
  }
}

/// One warp adds the tasks of a sample.
__global__ void __launch_bounds__(kWarp)
    add_tasks(MseProblem p, int64_t tasks, const float* partial, float* out) {
  float sum = 0.0F;
  for (int64_t task = threadIdx.x; task < tasks; task += kWarp)
    sum += partial[blockIdx.x * tasks + task];
  sum = group_sum(sum, kWarp);
  if (threadIdx.x == 0) out[blockIdx.x] = sum / static_cast<float>(p.elements);
}

template <class T, int kVec>
__global__ void __launch_bounds__(kThreads)
    gradient(MseProblem p, const float* grad, const T* prediction, const float* target,
             T* grad_prediction) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kVec;
  if (i >= p.elements) return;
  for (int64_t b = blockIdx.y; b < p.batch; b += gridDim.y) {
    const float factor = 2.0F / static_cast<float>(p.elements) * grad[b];
    float value[kVec], wanted[kVec];
    load<kVec>(prediction + b * p.elements, i, value);
    load<kVec>(target + b * p.elements, i, wanted);
#pragma unroll
    for (int k = 0; k < kVec; ++k) value[k] = factor * (value[k] - wanted[k]);
    store<kVec>(value, grad_prediction + b * p.elements, i);
  }
}

constexpr int64_t kMaxGridY = 65535;
unsigned grid_y(int64_t count) {
  return static_cast<unsigned>(count < kMaxGridY ? count : kMaxGridY);
}

}  // namespace

void mse_forward(const MseProblem& problem, const void* prediction, const float* target, float* out,
                 float* partial, CUstream_st* stream) {
  if (problem.batch == 0) return;
  const int64_t tasks = mse_tasks(problem);
  with_type(problem.storage, [&](auto type) {
    using T = decltype(type);
    const auto launch = [&](auto vec) {
      const dim3 grid(static_cast<unsigned>(tasks), grid_y(problem.batch));
      launch_kernel(sum_tasks<T, decltype(vec)::value>, grid, kThreads, stream, problem,
                    static_cast<const T*>(prediction), target, partial);
    };
    if (tasks > 0) with_width<T>(can_go_wide<T>({prediction, target}, {problem.elements}), launch);
  });
  launch_kernel(add_tasks, static_cast<unsigned>(problem.batch), kWarp, stream, problem, tasks,
                partial, out);
}

void mse_backward(const MseProblem& problem, const float* grad, const void* prediction,
                  const float* target, void* grad_prediction, CUstream_st* stream) {
  if (problem.batch * problem.elements == 0) return;
  with_type(problem.storage, [&](auto type) {
    using T = decltype(type);
    const auto launch = [&](auto vec) {
      constexpr int kVec = decltype(vec)::value;
      const dim3 grid(blocks_for(problem.elements, kThreads * kVec), grid_y(problem.batch));
      launch_kernel(gradient<T, kVec>, grid, kThreads, stream, problem, grad,
                    static_cast<const T*>(prediction), target, static_cast<T*>(grad_prediction));
    };
    with_width<T>(can_go_wide<T>({prediction, target, grad_prediction}, {problem.elements}),
                  launch);
  });
}

}  // namespace titan::kernels::cuda
