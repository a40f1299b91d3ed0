#include <algorithm>
#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "titan/kernels/modulate_norm.h"

namespace titan::kernels::cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kMaxThreads = 256;
constexpr int kColumnThreads = 128;
constexpr int kSums = 3;  // of grad_y, of grad_y * normalised h, of grad_h * branch

__device__ float to_float(float value) { return value; }
__device__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
template <class T>
__device__ T from_float(float value);
template <>
__device__ float from_float<float>(float value) {
  return value;
}
template <>
__device__ __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

/// kVec neighbours, moved in one access.
template <class T, int kVec>
struct alignas(sizeof(T) * kVec) Pack {
  T item[kVec];
};

template <int kVec, class T>
__device__ void load(const T* from, int64_t i, float (&to)[kVec]) {
  const Pack<T, kVec> pack = *reinterpret_cast<const Pack<T, kVec>*>(from + i);
  for (int k = 0; k < kVec; ++k) to[k] = to_float(pack.item[k]);
}
/// As load; `missing` where there is no array.
template <int kVec, class T>
__device__ void load_or(const void* from, int64_t i, float missing, float (&to)[kVec]) {
  if (from != nullptr) {
    load<kVec>(static_cast<const T*>(from), i, to);
  } else {
    for (int k = 0; k < kVec; ++k) to[k] = missing;
  }
}
template <int kVec, class T>
__device__ void store(const float (&from)[kVec], T* to, int64_t i) {
  Pack<T, kVec> pack;
  for (int k = 0; k < kVec; ++k) pack.item[k] = from_float<T>(from[k]);
  *reinterpret_cast<Pack<T, kVec>*>(to + i) = pack;
}

/// Sums of a and b over the block, in a fixed order, for every thread.
__device__ float2 block_sum(float a, float b) {
  __shared__ float2 partial[kMaxThreads / kWarp];
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    a += __shfl_xor_sync(0xFFFFFFFFU, a, offset);
    b += __shfl_xor_sync(0xFFFFFFFFU, b, offset);
  }
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

/// weight * (1 + scale) of sample b at columns i ...
template <int kVec, class P>
__device__ void load_factor(const NormParameters& p, int64_t b, int64_t i, float (&factor)[kVec]) {
  float scale[kVec];
  load_or<kVec, P>(p.weight, i, 1.0F, factor);
  load_or<kVec, P>(p.scale.data, b * p.scale.stride + i, 0.0F, scale);
  for (int k = 0; k < kVec; ++k) factor[k] *= 1.0F + scale[k];
}

/// One block normalises one row.
template <class T, class P, int kVec>
__global__ void forward(NormProblem problem, NormParameters p, ModulateNormForward io) {
  const int64_t row = blockIdx.x;
  const int64_t b = row / problem.tokens;
  const int64_t dim = problem.dim;
  const int64_t first = static_cast<int64_t>(threadIdx.x) * kVec;
  const int64_t step = static_cast<int64_t>(blockDim.x) * kVec;
  const T* x = static_cast<const T*>(io.x) + row * dim;
  const T* h = x;
  const float inverse_dim = 1.0F / static_cast<float>(dim);
  float value[kVec];

  float sum = 0.0F;
  float squares = 0.0F;
  if (io.branch != nullptr) {
    const T* branch = static_cast<const T*>(io.branch) + row * dim;
    T* out = static_cast<T*>(io.h) + row * dim;
    for (int64_t i = first; i < dim; i += step) {
      float gate[kVec], addend[kVec];
      load<kVec>(x, i, value);
      load<kVec>(branch, i, addend);
      load_or<kVec, P>(p.gate.data, b * p.gate.stride + i, 1.0F, gate);
      for (int k = 0; k < kVec; ++k) value[k] += gate[k] * addend[k];
      store<kVec>(value, out, i);
      for (int k = 0; k < kVec; ++k) {
        const float kept = to_float(from_float<T>(value[k]));  // backward sees h as stored
        sum += kept;
        squares += kept * kept;
      }
    }
    h = out;  // each thread reads back what it wrote
  } else {
    for (int64_t i = first; i < dim; i += step) {
      load<kVec>(x, i, value);
      for (int k = 0; k < kVec; ++k) {
        sum += value[k];
        squares += value[k] * value[k];
      }
    }
  }
  const float2 sums = block_sum(sum, squares);
  const float mean = problem.rms ? 0.0F : sums.x * inverse_dim;
  float variance = sums.y * inverse_dim;
  if (!problem.rms) {
    // A second pass: the difference of large sums would cancel.
    float centred = 0.0F;
    for (int64_t i = first; i < dim; i += step) {
      load<kVec>(h, i, value);
      for (int k = 0; k < kVec; ++k) centred += (value[k] - mean) * (value[k] - mean);
    }
    variance = block_sum(centred, 0.0F).x * inverse_dim;
  }
  const float rstd = rsqrtf(variance + problem.eps);
  T* y = static_cast<T*>(io.y) + row * dim;
  for (int64_t i = first; i < dim; i += step) {
    float weight[kVec], bias[kVec], scale[kVec], shift[kVec];
    load<kVec>(h, i, value);
    load_or<kVec, P>(p.weight, i, 1.0F, weight);
    load_or<kVec, P>(p.bias, i, 0.0F, bias);
    load_or<kVec, P>(p.scale.data, b * p.scale.stride + i, 0.0F, scale);
    load_or<kVec, P>(p.shift.data, b * p.shift.stride + i, 0.0F, shift);
    for (int k = 0; k < kVec; ++k) {
      value[k] = ((value[k] - mean) * rstd * weight[k] + bias[k]) * (1.0F + scale[k]) + shift[k];
    }
    store<kVec>(value, y, i);
  }
  if (threadIdx.x == 0) {
    io.rstd[row] = rstd;
    if (!problem.rms) io.mean[row] = mean;
  }
}

/// One block takes rows_per_task rows of one sample. Each thread owns columns, so their sums need
/// no exchange.
template <class T, class P, int kVec>
__global__ void backward(NormProblem problem, NormParameters p, ModulateNormBackward io) {
  extern __shared__ float column_sums[];
  const int64_t dim = problem.dim;
  const int64_t per_sample = problem.tasks_per_sample();
  const int64_t b = blockIdx.x / per_sample;
  const int64_t start = (blockIdx.x % per_sample) * problem.rows_per_task;
  const int64_t stop = start + problem.rows_per_task < problem.tokens
                           ? start + problem.rows_per_task
                           : problem.tokens;
  const int64_t first = static_cast<int64_t>(threadIdx.x) * kVec;
  const int64_t step = static_cast<int64_t>(blockDim.x) * kVec;
  const float inverse_dim = 1.0F / static_cast<float>(dim);
  const int kinds = io.branch != nullptr ? kSums : kSums - 1;
  for (int64_t i = first; i < dim; i += step) {
    for (int s = 0; s < kinds; ++s) {
      for (int k = 0; k < kVec; ++k) column_sums[s * dim + i + k] = 0.0F;
    }
  }

  for (int64_t row = b * problem.tokens + start; row < b * problem.tokens + stop; ++row) {
    const T* grad_y = static_cast<const T*>(io.grad_y) + row * dim;
    const T* h = static_cast<const T*>(io.h) + row * dim;
    const float rstd = io.rstd[row];
    const float mean = problem.rms ? 0.0F : io.mean[row];
    float grad[kVec], unit[kVec], factor[kVec];
    float along_one = 0.0F;
    float along_h = 0.0F;
    for (int64_t i = first; i < dim; i += step) {
      load<kVec>(grad_y, i, grad);
      load<kVec>(h, i, unit);
      load_factor<kVec, P>(p, b, i, factor);
      for (int k = 0; k < kVec; ++k) {
        const float normal = (unit[k] - mean) * rstd;
        column_sums[i + k] += grad[k];
        column_sums[dim + i + k] += grad[k] * normal;
        along_one += grad[k] * factor[k];
        along_h += grad[k] * factor[k] * normal;
      }
    }
    const float2 sums = block_sum(along_one, along_h);
    along_one = problem.rms ? 0.0F : sums.x * inverse_dim;
    along_h = sums.y * inverse_dim;
    for (int64_t i = first; i < dim; i += step) {
      load<kVec>(grad_y, i, grad);
      load<kVec>(h, i, unit);
      load_factor<kVec, P>(p, b, i, factor);
      for (int k = 0; k < kVec; ++k) {
        grad[k] = rstd * (grad[k] * factor[k] - along_one - (unit[k] - mean) * rstd * along_h);
      }
      if (io.grad_h != nullptr) {
        load<kVec>(static_cast<const T*>(io.grad_h) + row * dim, i, unit);
        for (int k = 0; k < kVec; ++k) grad[k] += unit[k];
      }
      store<kVec>(grad, static_cast<T*>(io.grad_x) + row * dim, i);
      if (io.branch == nullptr) continue;
      float branch[kVec], gate[kVec];
      load<kVec>(static_cast<const T*>(io.branch) + row * dim, i, branch);
      load_or<kVec, P>(p.gate.data, b * p.gate.stride + i, 1.0F, gate);
      for (int k = 0; k < kVec; ++k) {
        column_sums[2 * dim + i + k] += grad[k] * branch[k];
        grad[k] *= gate[k];
      }
      store<kVec>(grad, static_cast<T*>(io.grad_branch) + row * dim, i);
    }
  }

  float* partial = io.partial + static_cast<int64_t>(blockIdx.x) * kSums * dim;
  for (int64_t i = first; i < dim; i += step) {
    for (int s = 0; s < kinds; ++s) {
      for (int k = 0; k < kVec; ++k) partial[s * dim + i + k] = column_sums[s * dim + i + k];
    }
  }
}

/// Element i of a parameter, or `missing`.
template <class P>
__device__ float parameter(const void* data, int64_t i, float missing) {
  return data == nullptr ? missing : to_float(static_cast<const P*>(data)[i]);
}

/// Adds a sample's partial sums into its first task's place: one thread a column.
template <class P>
__global__ void reduce_samples(NormProblem problem, NormParameters p, ModulateNormBackward io) {
  const int64_t dim = problem.dim;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kColumnThreads + threadIdx.x;
  const int64_t b = blockIdx.y;
  if (i >= dim) return;
  const int kinds = io.branch != nullptr ? kSums : kSums - 1;
  float* tasks = io.partial + b * problem.tasks_per_sample() * kSums * dim;
  float sum[kSums] = {};
  for (int64_t task = 0; task < problem.tasks_per_sample(); ++task) {
    for (int s = 0; s < kinds; ++s) sum[s] += tasks[(task * kSums + s) * dim + i];
  }
  for (int s = 0; s < kinds; ++s) tasks[s * dim + i] = sum[s];
  if (io.grad_shift != nullptr) io.grad_shift[b * dim + i] = sum[0];
  if (io.grad_scale != nullptr) {
    io.grad_scale[b * dim + i] =
        parameter<P>(p.weight, i, 1.0F) * sum[1] + parameter<P>(p.bias, i, 0.0F) * sum[0];
  }
  if (io.grad_gate != nullptr) io.grad_gate[b * dim + i] = sum[2];
}

/// Adds the samples up for weight and bias: one thread a column.
template <class P>
__global__ void reduce_affine(NormProblem problem, NormParameters p, ModulateNormBackward io) {
  const int64_t dim = problem.dim;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kColumnThreads + threadIdx.x;
  if (i >= dim) return;
  float weight = 0.0F;
  float bias = 0.0F;
  for (int64_t b = 0; b < problem.batch; ++b) {
    const float* sums = io.partial + b * problem.tasks_per_sample() * kSums * dim;
    const float one_scale = 1.0F + parameter<P>(p.scale.data, b * p.scale.stride + i, 0.0F);
    weight += one_scale * sums[dim + i];
    bias += one_scale * sums[i];
  }
  if (io.grad_weight != nullptr) io.grad_weight[i] = weight;
  if (io.grad_bias != nullptr) io.grad_bias[i] = bias;
}

constexpr int kVecWidth = 4;

/// Whether rows of all these arrays begin on a boundary of 4 elements (16 bytes suffice for either
/// type).
bool can_vectorise(const NormProblem& problem, const NormParameters& p,
                   std::initializer_list<const void*> arrays) {
  const auto aligned = [](const void* data) {
    return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
  };
  bool all = problem.dim % kVecWidth == 0;
  for (const void* data : arrays) all = all && aligned(data);
  for (const void* data : {p.weight, p.bias, p.scale.data, p.shift.data, p.gate.data})
    all = all && aligned(data);
  for (const SampleRows* rows : {&p.scale, &p.shift, &p.gate})
    all = all && rows->stride % kVecWidth == 0;
  return all;
}

unsigned threads_for(int64_t dim, int vec) {
  const int64_t wanted = ((dim + vec - 1) / vec + kWarp - 1) / kWarp * kWarp;
  return static_cast<unsigned>(std::min<int64_t>(wanted, kMaxThreads));
}

template <class T, class P, int kVec>
void launch_backward(const NormProblem& problem, const NormParameters& p,
                     const ModulateNormBackward& io, cudaStream_t stream) {
  const std::size_t shared_bytes =
      sizeof(float) * (io.branch != nullptr ? kSums : kSums - 1) * problem.dim;
  // Above 48 KiB a kernel has to ask. A failure shows in the launch, which the caller checks.
  constexpr std::size_t kWithoutAsking = 48 * 1024;
  if (shared_bytes > kWithoutAsking) {
    cudaFuncSetAttribute(backward<T, P, kVec>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(shared_bytes));
  }
  const auto blocks = static_cast<unsigned>(problem.batch * problem.tasks_per_sample());
  backward<T, P, kVec>
      <<<blocks, threads_for(problem.dim, kVec), shared_bytes, stream>>>(problem, p, io);
}

/// Calls `launch` with the element types of storage and parameters.
template <class Launch>
void with_types(const NormProblem& problem, Launch&& launch) {
  if (problem.storage == StorageType::kFloat32) {
    if (problem.param_storage == StorageType::kFloat32) {
      launch(float{}, float{});
    } else {
      launch(float{}, __nv_bfloat16{});
    }
  } else if (problem.param_storage == StorageType::kFloat32) {
    launch(__nv_bfloat16{}, float{});
  } else {
    launch(__nv_bfloat16{}, __nv_bfloat16{});
  }
}

}  // namespace

void modulate_norm_forward(const NormProblem& problem, const NormParameters& parameters,
                           const ModulateNormForward& io, CUstream_st* stream) {
  const auto rows = static_cast<unsigned>(problem.batch * problem.tokens);
  if (rows == 0) return;
  const bool vectorise = can_vectorise(problem, parameters, {io.x, io.branch, io.h, io.y});
  with_types(problem, [&](auto storage, auto param) {
    using T = decltype(storage);
    using P = decltype(param);
    if (vectorise) {
      forward<T, P, kVecWidth>
          <<<rows, threads_for(problem.dim, kVecWidth), 0, stream>>>(problem, parameters, io);
    } else {
      forward<T, P, 1><<<rows, threads_for(problem.dim, 1), 0, stream>>>(problem, parameters, io);
    }
  });
}

void modulate_norm_backward(const NormProblem& problem, const NormParameters& parameters,
                            const ModulateNormBackward& io, CUstream_st* stream) {
  if (problem.batch * problem.tokens == 0) return;
  const bool vectorise = can_vectorise(
      problem, parameters, {io.grad_y, io.grad_h, io.h, io.branch, io.grad_x, io.grad_branch});
  with_types(problem, [&](auto storage, auto param) {
    using T = decltype(storage);
    using P = decltype(param);
    if (vectorise) {
      launch_backward<T, P, kVecWidth>(problem, parameters, io, stream);
    } else {
      launch_backward<T, P, 1>(problem, parameters, io, stream);
    }
    const auto columns = static_cast<unsigned>((problem.dim + kColumnThreads - 1) / kColumnThreads);
    const dim3 grid(columns, static_cast<unsigned>(problem.batch));
    reduce_samples<P><<<grid, kColumnThreads, 0, stream>>>(problem, parameters, io);
    if (io.grad_weight != nullptr || io.grad_bias != nullptr) {
      reduce_affine<P><<<columns, kColumnThreads, 0, stream>>>(problem, parameters, io);
    }
  });
}

}  // namespace titan::kernels::cuda
