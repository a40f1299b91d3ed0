// task_sums.cuh: adds up what the blocks of a backward, its tasks, have summed per column. Device
// code only.
#pragma once

#include <algorithm>

#include "titan/kernels/cuda/pack.cuh"

namespace titan::kernels::cuda {

constexpr int kMostSections = 16;  // of the tasks, each added by its own thread

/// Threads of a block that adds `tasks` tasks up: the order of additions depends on nothing else.
inline unsigned adding_threads(int64_t tasks) {
  return kWarp * static_cast<unsigned>(std::clamp<int64_t>(tasks, 1, kMostSections));
}

/// Called by a whole block, which adds 32 columns: a warp takes every so many-th task, then their
/// sums are added in order. Number `kind` of `kinds` of task t lies at
/// tasks[t * stride + kind * dim + column]. Returns whether this thread has the sums of `column`.
template <int kKinds>
__device__ __forceinline__ bool add_tasks(const float* tasks, int64_t count, int64_t dim, int kinds,
                                          int64_t stride, int64_t column, float (&sum)[kKinds]) {
  __shared__ float sums[kKinds][kMostSections][kWarp];
  const unsigned section = threadIdx.x / kWarp, sections = blockDim.x / kWarp;
  const unsigned lane = threadIdx.x % kWarp;
#pragma unroll
  for (int kind = 0; kind < kKinds; ++kind) sum[kind] = 0.0F;
  if (column < dim) {
    for (int64_t task = section; task < count; task += sections) {
#pragma unroll
      for (int kind = 0; kind < kKinds; ++kind)
        if (kind < kinds) sum[kind] += tasks[task * stride + kind * dim + column];
    }
  }
  __syncthreads();  // the previous sums have been read
#pragma unroll
  for (int kind = 0; kind < kKinds; ++kind) sums[kind][section][lane] = sum[kind];
  __syncthreads();
  if (section != 0 || column >= dim) return false;
  for (unsigned other = 1; other < sections; ++other) {
#pragma unroll
    for (int kind = 0; kind < kKinds; ++kind) sum[kind] += sums[kind][other][lane];
  }
  return true;
}

}  // namespace titan::kernels::cuda
