// pack.cuh: what the CUDA kernels share: element types, 16-byte accesses, sums in a fixed order,
// launches. Device code only.
//
// Without nvcc a file that launches by launch_kernel() compiles against the headers of
// tests/kernels/cuda_emulation, which run its threads one by one on the CPU.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "titan/kernels/storage.h"

namespace titan::kernels::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFFU;

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
template <class T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

/// Elements of one 16-byte access.
template <class T>
constexpr int kWide = 16 / static_cast<int>(sizeof(T));

/// Neighbours as they lie in memory, moved by one access or by accesses of 16 bytes. In words:
/// those that wait to be worked on would take a register for each bfloat16 otherwise.
template <class T, int kCount>
struct alignas(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Words {
  static constexpr int kPerWord = 4 / static_cast<int>(sizeof(T));
  typedef std::uint32_t Word __attribute__((may_alias));
  Word word[kCount / kPerWord];

  __device__ __forceinline__ void set(int k, T value) {
    if constexpr (kPerWord == 1) {
      word[k] = __builtin_bit_cast(std::uint32_t, value);
    } else {
      // Not const: nvcc 13.0 would take it for a constant and crash.
      std::uint32_t bits = __builtin_bit_cast(std::uint16_t, value);
      word[k / 2] =
          k % 2 == 0 ? (word[k / 2] & 0xFFFF0000U) | bits : (word[k / 2] & 0xFFFFU) | bits << 16;
    }
  }
  __device__ __forceinline__ float get(int k) const {
    std::uint32_t bits = word[k / kPerWord];
    if constexpr (kPerWord == 2) bits = k % 2 == 0 ? bits << 16 : bits & 0xFFFF0000U;
    return __builtin_bit_cast(float, bits);
  }
};
/// Neighbours moved one by one.
template <class T, int kCount>
struct Items {
  T item[kCount];
  __device__ __forceinline__ float get(int k) const { return to_float(item[k]); }
};
/// kVec neighbours: moved 16 bytes at a time where they fill such accesses, else one by one.
template <class T, int kVec>
using Pack = std::conditional_t<kVec % kWide<T> == 0, Words<T, kVec>, Items<T, kVec>>;

template <int kVec, class T>
__device__ __forceinline__ Pack<T, kVec> fetch(const T* from, int64_t i) {
  return *reinterpret_cast<const Pack<T, kVec>*>(from + i);
}
template <int kVec, class T>
__device__ __forceinline__ void load(const T* from, int64_t i, float (&to)[kVec]) {
  const Pack<T, kVec> pack = fetch<kVec>(from, i);
#pragma unroll
  for (int k = 0; k < kVec; ++k) to[k] = pack.get(k);
}
/// As load; `missing` where there is no array.
template <int kVec, class T>
__device__ __forceinline__ void load_or(const void* from, int64_t i, float missing,
                                        float (&to)[kVec]) {
  if (from != nullptr) {
    load<kVec>(static_cast<const T*>(from), i, to);
  } else {
#pragma unroll
    for (int k = 0; k < kVec; ++k) to[k] = missing;
  }
}
/// The bits of the numbers that fill 32.
__device__ __forceinline__ std::uint32_t word_of(const float* from, float) {
  return __builtin_bit_cast(std::uint32_t, *from);
}
__device__ __forceinline__ std::uint32_t word_of(const float* from, __nv_bfloat16) {
  const auto bits = [](float value) -> std::uint32_t {
    return __builtin_bit_cast(std::uint16_t, from_float<__nv_bfloat16>(value));
  };
  return bits(from[0]) | bits(from[1]) << 16;
}
/// The bytes of one 16-byte access, whatever they are read as elsewhere.
__extension__ typedef unsigned __int128 WideBits __attribute__((may_alias));

template <int kVec, class T>
__device__ __forceinline__ void store(const float (&from)[kVec], T* to, int64_t i) {
  if constexpr (kVec % kWide<T> == 0) {
    // One number: nvcc stores the members of a struct one by one wherever it finds that the address
    // is a row's start and a column.
    constexpr int kWords = 4;
#pragma unroll
    for (int first = 0; first < kVec; first += kWide<T>) {
      WideBits bits = 0;
#pragma unroll
      for (int word = 0; word < kWords; ++word)
        bits |= static_cast<WideBits>(word_of(from + first + word * kWide<T> / kWords, T{}))
                << (32 * word);
      *reinterpret_cast<WideBits*>(to + i + first) = bits;
    }
  } else {
#pragma unroll
    for (int k = 0; k < kVec; ++k) to[i + k] = from_float<T>(from[k]);
  }
}

/// Sum over groups of `lanes` (a power of two) neighbouring threads of a warp, for each of them.
/// The whole warp must call it.
__device__ __forceinline__ float group_sum(float value, int lanes) {
  for (int offset = lanes / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

/// Sums of a and b over a block of at most kMaxThreads (whole warps), in a fixed order, for every
/// thread.
template <int kMaxThreads>
__device__ float2 block_sum(float a, float b) {
  __shared__ float2 partial[kMaxThreads / kWarp];
  a = group_sum(a, kWarp);
  b = group_sum(b, kWarp);
  __syncthreads();  // the previous sums have been read
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = make_float2(a, b);
  __syncthreads();
  float2 sum = make_float2(0.0F, 0.0F);
  for (unsigned warp = 0; warp < blockDim.x / kWarp; ++warp) {
    sum.x += partial[warp].x;
    sum.y += partial[warp].y;
  }
  return sum;
}

/// Bits of |x|: among them the order of integers is that of the numbers, NaN above all. So a
/// maximum has the same bits in whatever order it is taken, by atomics too.
__device__ __forceinline__ unsigned magnitude_bits(float x) {
  return __float_as_uint(x) & 0x7FFFFFFFU;
}

/// Largest value in a block of at most kMaxThreads (whole warps), for thread 0.
template <int kMaxThreads>
__device__ unsigned block_max(unsigned value) {
  __shared__ unsigned partial[kMaxThreads / kWarp];
  value = __reduce_max_sync(kAllLanes, value);
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
  __syncthreads();
  for (unsigned warp = 0; threadIdx.x == 0 && warp < blockDim.x / kWarp; ++warp)
    value = max(value, partial[warp]);
  return value;
}

/// Whether arrays of T (null counts) and the strides between their rows allow 16-byte accesses.
template <class T>
inline bool can_go_wide(std::initializer_list<const void*> arrays,
                        std::initializer_list<int64_t> strides) {
  bool all = true;
  for (const void* data : arrays) all = all && reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
  for (const int64_t stride : strides) all = all && stride % kWide<T> == 0;
  return all;
}

/// Calls `launch` with a value of the element type.
template <class Launch>
void with_type(StorageType storage, Launch&& launch) {
  if (storage == StorageType::kFloat32) {
    launch(float{});
  } else {
    launch(__nv_bfloat16{});
  }
}

/// A number of elements, as a type.
template <int kVec>
struct Width {
  static constexpr int value = kVec;
};
/// Calls `launch` with the width of a 16-byte access, or with 1.
template <class T, class Launch>
void with_width(bool wide, Launch&& launch) {
  if (wide) {
    launch(Width<kWide<T>>{});
  } else {
    launch(Width<1>{});
  }
}

/// kernel<<<grid, threads, 0, stream>>>(arguments...).
template <class... Parameters, class... Arguments>
void launch_kernel(void (*kernel)(Parameters...), dim3 grid, unsigned threads, cudaStream_t stream,
                   const Arguments&... arguments) {
#if defined(__CUDACC__)
  kernel<<<grid, threads, 0, stream>>>(arguments...);
#else
  (void)stream;
  emulation::launch(grid, threads, [&] { kernel(arguments...); });
#endif
}

inline unsigned blocks_for(int64_t count, int64_t per_block) {
  return static_cast<unsigned>((count + per_block - 1) / per_block);
}

}  // namespace titan::kernels::cuda
