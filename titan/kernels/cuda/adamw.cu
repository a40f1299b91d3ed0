// One thread updates eight elements at a time: one 16-byte access for each bfloat16 array, two for
// each float32 one, and one Philox block for each rounding. Compiled without contraction
// (CMakeLists.txt): the bits of cpu/adamw.cpp.
#include <type_traits>

#include <cuda_runtime.h>

#include "titan/kernels/adamw.h"
#include "titan/kernels/adamw_math.h"
#include "titan/kernels/cuda/pack.cuh"

namespace titan::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kWide = 8;
constexpr int kBlocksAtOnce = 3;  // on a multiprocessor, at least: 80 registers a thread

enum class WeightKind { kFloat32, kPair, kStochastic };

struct Eight {
  float value[kWide];
};

// Sixteen bytes a load where `wide`; the tail and unaligned buffers go element by element.
__device__ inline void load(const float* from, bool wide, int count, Eight& to) {
  if (wide) {
    const float4 low = reinterpret_cast<const float4*>(from)[0];
    const float4 high = reinterpret_cast<const float4*>(from)[1];
    to = {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
    return;
  }
#pragma unroll
  for (int i = 0; i < kWide; ++i) to.value[i] = i < count ? from[i] : 0.0F;
}
__device__ inline void store(float* to, bool wide, int count, const Eight& from) {
  const float* v = from.value;
  if (wide) {
    reinterpret_cast<float4*>(to)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4*>(to)[1] = make_float4(v[4], v[5], v[6], v[7]);
    return;
  }
#pragma unroll
  for (int i = 0; i < kWide; ++i)
    if (i < count) to[i] = v[i];
}

struct EightHalves {
  std::uint32_t word[kWide / 2];
  __device__ std::uint16_t get(int i) const {
    return static_cast<std::uint16_t>(word[i / 2] >> (16 * (i % 2)));
  }
  __device__ void set(int i, std::uint16_t bits) {
    const int shift = 16 * (i % 2);
    word[i / 2] = (word[i / 2] & ~(0xFFFFU << shift)) | (static_cast<std::uint32_t>(bits) << shift);
  }
};
__device__ inline EightHalves load(const std::uint16_t* from, bool wide, int count) {
  EightHalves to;
  if (wide) {
    const uint4 all = *reinterpret_cast<const uint4*>(from);
    to = {{all.x, all.y, all.z, all.w}};
    return to;
  }
  to = {{0, 0, 0, 0}};
#pragma unroll
  for (int i = 0; i < kWide; ++i)
    if (i < count) to.set(i, from[i]);
  return to;
}
__device__ inline void store(std::uint16_t* to, bool wide, int count, const EightHalves& from) {
  if (wide) {
    *reinterpret_cast<uint4*>(to) =
        make_uint4(from.word[0], from.word[1], from.word[2], from.word[3]);
    return;
  }
#pragma unroll
  for (int i = 0; i < kWide; ++i)
    if (i < count) to[i] = from.get(i);
}

/// Eight numbers as they are stored: they are widened when all that an update needs is on its way.
template <bool narrow>
using Stored = std::conditional_t<narrow, EightHalves, Eight>;

template <bool narrow>
__device__ inline Stored<narrow> load_stored(const void* from, std::int64_t at, bool wide,
                                             int count) {
  if constexpr (narrow) {
    return load(static_cast<const std::uint16_t*>(from) + at, wide, count);
  } else {
    Eight to;
    load(static_cast<const float*>(from) + at, wide, count, to);
    return to;
  }
}
__device__ inline Eight widened(const Eight& from) { return from; }
__device__ inline Eight widened(const EightHalves& from) {
  Eight to;
#pragma unroll
  for (int i = 0; i < kWide; ++i) to.value[i] = bfloat16_value(from.get(i));
  return to;
}
__device__ inline Eight paired(const EightHalves& high, const EightHalves& low) {
  Eight to;
#pragma unroll
  for (int i = 0; i < kWide; ++i) to.value[i] = pair_value(high.get(i), low.get(i));
  return to;
}

/// Random bits of elements element .. element + 7; two blocks where they do not start one.
__device__ inline EightHalves draw(const AdamWRun& run, float step, AdamWRounding rounding,
                                   std::int64_t element) {
  const std::uint32_t epoch = adamw_epoch(step, rounding);
  const auto block = static_cast<std::uint32_t>(element / kWide);
  const PhiloxBlock low = philox4x32(run.key, block, run.stream, epoch);
  const int start = static_cast<int>(element % kWide);
  EightHalves bits = {{low.word[0], low.word[1], low.word[2], low.word[3]}};
  if (start == 0) return bits;
  const PhiloxBlock high = philox4x32(run.key, block + 1, run.stream, epoch);
  const EightHalves rest = {{high.word[0], high.word[1], high.word[2], high.word[3]}};
  EightHalves shifted = {{0, 0, 0, 0}};
  for (int i = 0; i < kWide; ++i)
    shifted.set(i, start + i < kWide ? bits.get(start + i) : rest.get(start + i - kWide));
  return shifted;
}

/// Leaves in `weight` what was stored.
template <WeightKind kind>
__device__ inline void store_weights(const AdamWRun& run, float step, std::int64_t at, bool wide,
                                     int count, Eight& weight) {
  if constexpr (kind == WeightKind::kFloat32) {
    store(static_cast<float*>(run.weight) + at, wide, count, weight);
  } else {
    EightHalves high, low;
    if constexpr (kind == WeightKind::kStochastic)
      low = draw(run, step, AdamWRounding::kWeight, run.first_element + at);
#pragma unroll
    for (int i = 0; i < kWide; ++i) {
      if constexpr (kind == WeightKind::kPair) {
        const std::uint32_t bits = plain_bits(weight.value[i]);
        high.set(i, pair_high(bits));
        low.set(i, static_cast<std::uint16_t>(bits));
      } else {
        high.set(i, stochastic_bfloat16(weight.value[i], low.get(i)));
        weight.value[i] = bfloat16_value(high.get(i));
      }
    }
    store(static_cast<std::uint16_t*>(run.weight) + at, wide, count, high);
    if constexpr (kind == WeightKind::kPair) store(run.remainder + at, wide, count, low);
  }
}

template <bool narrow_state>
__device__ inline void store_moments(const AdamWRun& run, float step, std::int64_t at, bool wide,
                                     int count, const Eight& first, const Eight& second) {
  if constexpr (narrow_state) {
    const EightHalves random =
        draw(run, step, AdamWRounding::kSecondMoment, run.first_element + at);
    EightHalves m, v;
#pragma unroll
    for (int i = 0; i < kWide; ++i) {
      m.set(i, nearest_bfloat16(first.value[i]));
      v.set(i, stochastic_bfloat16(second.value[i], random.get(i)));
    }
    store(static_cast<std::uint16_t*>(run.exp_avg) + at, wide, count, m);
    store(static_cast<std::uint16_t*>(run.exp_avg_sq) + at, wide, count, v);
  } else {
    store(static_cast<float*>(run.exp_avg) + at, wide, count, first);
    store(static_cast<float*>(run.exp_avg_sq) + at, wide, count, second);
  }
}

struct StepScalars {
  AdamWFactors factors;
  float step, average_weight;
  bool skip;
};

/// The step's scalars come from the device, so that a captured graph replays with the next step's.
__device__ inline StepScalars read_scalars(const AdamWRun& run) {
  __shared__ StepScalars shared;
  if (threadIdx.x == 0) {
    // All are asked for before the powers are taken.
    const float step = *run.step, lr = *run.lr, clip = run.clip != nullptr ? *run.clip : 1.0F;
    const float average_weight = run.average != nullptr ? *run.average_weight : 0.0F;
    const bool skip = run.skip != nullptr && *run.skip != 0.0F;
    shared = {adamw_factors(step, lr, clip, run.beta1, run.beta2, run.eps, run.weight_decay), step,
              average_weight, skip};
  }
  __syncthreads();
  return shared;
}

template <WeightKind kind, bool narrow_state, bool narrow_grad>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce)
    adamw(const AdamWRun run, const bool aligned) {
  const StepScalars s = read_scalars(run);
  if (s.skip && s.average_weight == 0.0F) return;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads * kWide;
  for (std::int64_t at = (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWide;
       at < run.count; at += stride) {
    const std::int64_t rest = run.count - at;
    const int count = rest < kWide ? static_cast<int>(rest) : kWide;
    const bool wide = aligned && count == kWide;
    const auto stored = load_stored<kind != WeightKind::kFloat32>(run.weight, at, wide, count);
    EightHalves remainder = {{0, 0, 0, 0}};
    if constexpr (kind == WeightKind::kPair) remainder = load(run.remainder + at, wide, count);
    Stored<narrow_grad> stored_grad;
    Stored<narrow_state> stored_first, stored_second;
    if (!s.skip) {
      stored_grad = load_stored<narrow_grad>(run.grad, at, wide, count);
      stored_first = load_stored<narrow_state>(run.exp_avg, at, wide, count);
      stored_second = load_stored<narrow_state>(run.exp_avg_sq, at, wide, count);
    }
    Eight weight;
    if constexpr (kind == WeightKind::kPair) {
      weight = paired(stored, remainder);
    } else {
      weight = widened(stored);
    }
    if (!s.skip) {
      const Eight grad = widened(stored_grad);
      Eight first = widened(stored_first), second = widened(stored_second);
#pragma unroll
      for (int i = 0; i < kWide; ++i)
        adamw_element(s.factors, grad.value[i], weight.value[i], first.value[i], second.value[i]);
      store_moments<narrow_state>(run, s.step, at, wide, count, first, second);
      store_weights<kind>(run, s.step, at, wide, count, weight);
      if (kind == WeightKind::kFloat32 && run.copy != nullptr) {
        EightHalves copy;
#pragma unroll
        for (int i = 0; i < kWide; ++i) copy.set(i, nearest_bfloat16(weight.value[i]));
        store(run.copy + at, wide, count, copy);
      }
    }
    if (s.average_weight != 0.0F) {
      Eight average;
      load(run.average + at, wide, count, average);
#pragma unroll
      for (int i = 0; i < kWide; ++i)
        average.value[i] = blend(average.value[i], weight.value[i], s.average_weight);
      store(run.average + at, wide, count, average);
    }
  }
}

bool is_aligned(const AdamWRun& run) {
  std::uintptr_t all = 0;
  for (const void* pointer :
       {static_cast<const void*>(run.weight), static_cast<const void*>(run.remainder), run.grad,
        static_cast<const void*>(run.exp_avg), static_cast<const void*>(run.exp_avg_sq),
        static_cast<const void*>(run.average), static_cast<const void*>(run.copy)})
    all |= reinterpret_cast<std::uintptr_t>(pointer);
  return all % 16 == 0;
}

/// Blocks that run at once. All devices of a process are taken to be alike.
template <class Kernel>
std::int64_t resident_blocks(Kernel kernel) {
  int device = 0, processors = 1, of_processor = 1;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&of_processor, kernel, kThreads, 0);
  return static_cast<std::int64_t>(processors) * (of_processor > 0 ? of_processor : 1);
}

/// One wave of blocks: before its first element each takes the step's powers in float64, which is
/// some microseconds.
template <WeightKind kind, bool narrow_state, bool narrow_grad>
void launch(const AdamWRun& run, CUstream_st* stream) {
  constexpr auto kernel = adamw<kind, narrow_state, narrow_grad>;
  static const std::int64_t most = resident_blocks(kernel);
  const std::int64_t wanted = (run.count + kThreads * kWide - 1) / (kThreads * kWide);
  const auto grid = static_cast<unsigned>(wanted < most ? wanted : most);
  cuda::launch_kernel(+kernel, grid, kThreads, stream, run, is_aligned(run));
}

template <WeightKind kind, bool narrow_state>
void launch(const AdamWRun& run, CUstream_st* stream) {
  if (run.grad_type == StorageType::kBFloat16) {
    launch<kind, narrow_state, true>(run, stream);
  } else {
    launch<kind, narrow_state, false>(run, stream);
  }
}

template <WeightKind kind>
void launch(const AdamWRun& run, CUstream_st* stream) {
  if (run.state_type == StorageType::kBFloat16) {
    launch<kind, true>(run, stream);
  } else {
    launch<kind, false>(run, stream);
  }
}

}  // namespace

void adamw_cuda(const AdamWRun& run, CUstream_st* stream) {
  if (run.count == 0) return;
  if (run.weight_type == StorageType::kFloat32) {
    launch<WeightKind::kFloat32>(run, stream);
  } else if (run.remainder != nullptr) {
    launch<WeightKind::kPair>(run, stream);
  } else {
    launch<WeightKind::kStochastic>(run, stream);
  }
}

}  // namespace titan::kernels
