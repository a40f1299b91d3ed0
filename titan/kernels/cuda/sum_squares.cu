#include <cuda_runtime.h>

#include "titan/kernels/adamw_math.h"
#include "titan/kernels/sum_squares.h"

namespace titan::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;

/// Sum over the block's threads by a tree of fixed shape; valid in thread 0.
__device__ inline double block_sum(double value) {
  __shared__ double warps[kThreads / kWarp];
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    value += __shfl_down_sync(0xFFFFFFFFU, value, offset);
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
  __syncthreads();
  double sum = 0;
  if (threadIdx.x == 0)
    for (const double warp : warps) sum += warp;
  return sum;
}

__device__ inline double square(float value) {
  return static_cast<double>(value) * static_cast<double>(value);
}
__device__ inline double squares_of(uint4 word, const float*) {
  return square(float_of(word.x)) + square(float_of(word.y)) + square(float_of(word.z)) +
         square(float_of(word.w));
}
__device__ inline double squares_of(std::uint32_t two) {
  return square(float_of(two << 16)) + square(float_of(two & 0xFFFF0000U));
}
__device__ inline double squares_of(uint4 word, const std::uint16_t*) {
  return squares_of(word.x) + squares_of(word.y) + squares_of(word.z) + squares_of(word.w);
}
__device__ inline float value_of(float value) { return value; }
__device__ inline float value_of(std::uint16_t bits) { return bfloat16_value(bits); }

/// The grid is always the same, so which element is added where depends on `count` alone (and on
/// whether the buffer is aligned).
template <class T>
__global__ void __launch_bounds__(kThreads)
    squares(const T* __restrict__ data, std::int64_t count, double* partials) {
  constexpr int kWide = 16 / sizeof(T);
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const bool aligned = reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
  const std::int64_t words = aligned ? count / kWide : 0;
  double sum = 0;
#pragma unroll 4
  for (std::int64_t i = thread; i < words; i += stride)
    sum += squares_of(reinterpret_cast<const uint4*>(data)[i], static_cast<const T*>(nullptr));
  for (std::int64_t i = words * kWide + thread; i < count; i += stride)
    sum += square(value_of(data[i]));
  sum = block_sum(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads)
    add_up(const double* partials, std::int64_t count, double* total) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) sum += partials[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total = sum;
}

}  // namespace

void sum_squares_cuda(StorageType storage, const void* data, std::int64_t count, double* partials,
                      CUstream_st* stream) {
  if (storage == StorageType::kFloat32) {
    squares<<<kSumSquaresPartials, kThreads, 0, stream>>>(static_cast<const float*>(data), count,
                                                          partials);
  } else {
    squares<<<kSumSquaresPartials, kThreads, 0, stream>>>(static_cast<const std::uint16_t*>(data),
                                                          count, partials);
  }
}

void sum_partials_cuda(const double* partials, std::int64_t count, double* total,
                       CUstream_st* stream) {
  add_up<<<1, kThreads, 0, stream>>>(partials, count, total);
}

}  // namespace titan::kernels
