#include <algorithm>
#include <cstdint>

#include "titan/kernels/cuda/fused_math.cuh"
#include "titan/kernels/cuda/pack.cuh"
#include "titan/kernels/cuda/task_sums.cuh"
#include "titan/kernels/modulate_norm.h"

namespace titan::kernels::cuda {
namespace {

constexpr int kMaxThreads = 512;
// Few threads with several packs each have more loads on their way, and fewer warps to sum up.
constexpr int kForwardThreads = 128;
constexpr int kColumnThreads = 128;
constexpr int kSums = 3;       // of grad_y, of grad_y * normalised h, of grad_h * branch
constexpr int kMostHeld = 24;  // elements of a row that a thread holds: 12288 / kMaxThreads
// Of scale, and of shift, that a thread keeps while the sums of a row are taken.
constexpr std::size_t kEarlyBytes = 64;
constexpr std::size_t kAheadBytes = 16;  // of a row, where backward loads ahead

/// Which columns of a row a thread holds: kSteps packs, a block's width apart.
template <int kVec>
struct Columns {
  int dim, first, step;
  __device__ explicit Columns(int64_t dim_in)
      : dim(static_cast<int>(dim_in)),
        first(static_cast<int>(threadIdx.x) * kVec),
        step(static_cast<int>(blockDim.x) * kVec) {}
  __device__ int at(int s) const { return first + s * step; }
  __device__ bool has(int s) const { return at(s) < dim; }
};

/// A thread's packs of one row as they are stored, so that all can be asked for before one is
/// waited for. In words: nvcc would take bfloat16 numbers apart on arrival, two registers for each
/// word.
template <class T, int kVec, int kSteps>
struct Held {
  static constexpr bool kHalves = sizeof(T) == 2 && kVec > 1;  // two numbers a word, low half first
  static constexpr int kWords = kHalves ? kVec / 2 : kVec;
  struct [[gnu::may_alias]] alignas(kVec * sizeof(T) % 16 == 0 ? 16 : 4) Words {
    unsigned word[kWords];
  };
  Words pack[kSteps];

  /// `missing` beyond the row's end and where there is no array.
  __device__ __forceinline__ void load(const void* array, int64_t offset, const Columns<kVec>& own,
                                       float missing = 0.0F) {
    const unsigned bits = __float_as_uint(missing);
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
#pragma unroll
      for (int w = 0; w < kWords; ++w) pack[s].word[w] = kHalves ? bits | bits >> 16 : bits;
      if (array == nullptr || !own.has(s)) continue;
      const T* from = static_cast<const T*>(array) + offset + own.at(s);
      if constexpr (kVec == 1) {
        pack[s].word[0] = __float_as_uint(to_float(*from));
      } else {
        pack[s] = *reinterpret_cast<const Words*>(from);
      }
    }
  }
  __device__ __forceinline__ void widen(int s, float (&to)[kVec]) const {
#pragma unroll
    for (int k = 0; k < kVec; ++k) {
      const unsigned word = pack[s].word[kHalves ? k / 2 : k];
      to[k] = __uint_as_float(!kHalves ? word : k % 2 == 0 ? word << 16 : word & 0xFFFF0000U);
    }
  }
};

/// One block normalises one row, which it reads once, and takes its largest |y|.
template <class T, class P, int kVec, int kSteps>
__global__ void __maxnreg__(kVec == 8 && sizeof(P) == 2 ? 80 : 128)  // 6 blocks of rows of 3072
    forward(NormProblem problem, NormParameters p, ModulateNormForward io) {
  const int64_t row = blockIdx.x;
  const int64_t b = blockIdx.x / static_cast<unsigned>(problem.tokens);  // rows fit a grid
  const int64_t dim = problem.dim;
  const Columns<kVec> own(dim);
  Held<T, kVec, kSteps> x, branch;
  Held<P, kVec, kSteps> gate, scale, shift;
  x.load(io.x, row * dim, own);
  if (io.branch != nullptr) {
    branch.load(io.branch, row * dim, own);
    gate.load(p.gate.data, b * p.gate.stride, own, 1.0F);
  }
  // Their latency passes while the sums are taken, where registers hold them meanwhile.
  constexpr bool kEarly = kVec > 1 && kSteps * kVec * sizeof(P) <= kEarlyBytes;
  const auto load_modulation = [&] {
    scale.load(p.scale.data, b * p.scale.stride, own);
    shift.load(p.shift.data, b * p.shift.stride, own);
  };
  if constexpr (kEarly) load_modulation();

  float value[kSteps][kVec];
  float sum = 0.0F, squares = 0.0F;
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    x.widen(s, value[s]);
    if (io.branch != nullptr) {
      float factor[kVec], addend[kVec];
      branch.widen(s, addend);
      gate.widen(s, factor);
#pragma unroll
      for (int k = 0; k < kVec; ++k) {
        // Backward sees h as stored.
        value[s][k] = to_float(from_float<T>(value[s][k] + factor[k] * addend[k]));
      }
      if (own.has(s)) store<kVec>(value[s], static_cast<T*>(io.h) + row * dim, own.at(s));
    }
#pragma unroll
    for (int k = 0; k < kVec; ++k) {
      sum += value[s][k];
      squares += value[s][k] * value[s][k];
    }
  }
  const float2 sums = block_sum<kMaxThreads>(sum, squares);
  const float inverse_dim = 1.0F / static_cast<float>(dim);
  const float mean = problem.rms ? 0.0F : sums.x * inverse_dim;
  float variance = sums.y * inverse_dim;
  if (!problem.rms) {
    // A second pass: the difference of large sums would cancel.
    float centred = 0.0F;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (!own.has(s)) continue;
#pragma unroll
      for (int k = 0; k < kVec; ++k) centred += (value[s][k] - mean) * (value[s][k] - mean);
    }
    variance = block_sum<kMaxThreads>(centred, 0.0F).x * inverse_dim;
  }
  const float rstd = rsqrtf(variance + problem.eps);
  if constexpr (!kEarly) load_modulation();
  unsigned most = 0;
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    if (!own.has(s)) continue;
    float weight[kVec], bias[kVec], one_scale[kVec], one_shift[kVec];
    load_or<kVec, P>(p.weight, own.at(s), 1.0F, weight);
    load_or<kVec, P>(p.bias, own.at(s), 0.0F, bias);
    scale.widen(s, one_scale);
    shift.widen(s, one_shift);
#pragma unroll
    for (int k = 0; k < kVec; ++k) {
      value[s][k] =
          modulated(value[s][k], mean, rstd, weight[k], bias[k], one_scale[k], one_shift[k]);
      most = max(most, magnitude_bits(rounded<T>(value[s][k])));
    }
    if (io.y != nullptr) store<kVec>(value[s], static_cast<T*>(io.y) + row * dim, own.at(s));
  }
  if (io.amax != nullptr) {
    most = block_max<kMaxThreads>(most);
    unsigned* amax = reinterpret_cast<unsigned*>(io.amax);
    if (threadIdx.x == 0 && io.amax_of_all) atomicMax(amax, most);
    if (threadIdx.x == 0 && !io.amax_of_all) amax[row] = most;
  }
  if (threadIdx.x == 0) {
    io.rstd[row] = rstd;
    if (!problem.rms) io.mean[row] = mean;
  }
}

/// Of a thread of `backward` that holds so many elements: what leaves room for two blocks of
/// kMaxThreads, of 384 (rows of 3072), or for one. Left alone nvcc takes somewhat more.
constexpr int most_registers(int held) { return held <= 4 ? 64 : held <= 8 ? 80 : 128; }

/// One block takes rows_per_task rows of one sample and reads each once. A thread owns columns, so
/// their sums need no exchange and stay in registers.
template <class T, class P, int kVec, int kSteps>
__global__ void __maxnreg__(most_registers(kVec* kSteps))
    backward(NormProblem problem, NormParameters p, ModulateNormBackward io) {
  // While a row's sums are taken, what else it needs and the next row are on their way, where
  // registers hold them.
  constexpr bool kAhead = kSteps * kVec * sizeof(T) <= kAheadBytes;
  const int64_t dim = problem.dim;
  const auto per_sample = static_cast<unsigned>(problem.tasks_per_sample());  // tasks fit a grid
  const int64_t b = blockIdx.x / per_sample;
  const int64_t start = (blockIdx.x % per_sample) * problem.rows_per_task;
  const int64_t stop = start + problem.rows_per_task < problem.tokens
                           ? start + problem.rows_per_task
                           : problem.tokens;
  const auto first =
      static_cast<unsigned>(b * problem.tokens + start);  // forward's rows fit a grid
  const auto last = static_cast<unsigned>(b * problem.tokens + stop);
  const Columns<kVec> own(dim);
  float rstd = 0.0F, mean = 0.0F;
  Held<T, kVec, kSteps> grad_y, h, grad_h, branch;
  const auto load_row = [&](unsigned row) {
    grad_y.load(io.grad_y, row * dim, own);
    h.load(io.h, row * dim, own);
    rstd = io.rstd[row];
    if (!problem.rms) mean = io.mean[row];
  };
  const auto load_rest = [&](unsigned row) {
    grad_h.load(io.grad_h, row * dim, own);
    branch.load(io.branch, row * dim, own);
  };
  if constexpr (kAhead) load_row(first);

  float of_grad[kSteps][kVec] = {}, of_normal[kSteps][kVec] = {}, of_branch[kSteps][kVec] = {};
  float factor[kSteps][kVec];  // weight * (1 + scale)
  Held<P, kVec, kSteps> weight, scale;
  weight.load(p.weight, 0, own, 1.0F);
  scale.load(p.scale.data, b * p.scale.stride, own);
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    float one_scale[kVec];
    weight.widen(s, factor[s]);
    scale.widen(s, one_scale);
#pragma unroll
    for (int k = 0; k < kVec; ++k) factor[s][k] *= 1.0F + one_scale[k];
  }

  const float inverse_dim = 1.0F / static_cast<float>(dim);
  for (unsigned row = first; row < last; ++row) {
    if constexpr (kAhead) {
      load_rest(row);
    } else {
      load_row(row);
    }
    const float row_rstd = rstd;
    float grad[kSteps][kVec], normal[kSteps][kVec];
    float along_one = 0.0F, along_h = 0.0F;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      grad_y.widen(s, grad[s]);
      h.widen(s, normal[s]);
#pragma unroll
      for (int k = 0; k < kVec; ++k) {
        normal[s][k] = (normal[s][k] - mean) * row_rstd;
        of_grad[s][k] += grad[s][k];
        of_normal[s][k] += grad[s][k] * normal[s][k];
        grad[s][k] *= factor[s][k];
        along_one += grad[s][k];
        along_h += grad[s][k] * normal[s][k];
      }
    }
    if (kAhead && row + 1 < last) load_row(row + 1);
    const float2 sums = block_sum<kMaxThreads>(along_one, along_h);
    if constexpr (!kAhead) load_rest(row);
    along_one = problem.rms ? 0.0F : sums.x * inverse_dim;
    along_h = sums.y * inverse_dim;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (!own.has(s)) continue;
      float other[kVec], factor_of_branch[kVec];
      grad_h.widen(s, other);
#pragma unroll
      for (int k = 0; k < kVec; ++k)
        grad[s][k] = row_rstd * (grad[s][k] - along_one - normal[s][k] * along_h) + other[k];
      store<kVec>(grad[s], static_cast<T*>(io.grad_x) + row * dim, own.at(s));
      if (io.branch == nullptr) continue;
      branch.widen(s, other);
      load_or<kVec, P>(p.gate.data, b * p.gate.stride + own.at(s), 1.0F, factor_of_branch);
#pragma unroll
      for (int k = 0; k < kVec; ++k) {
        of_branch[s][k] += grad[s][k] * other[k];
        grad[s][k] *= factor_of_branch[k];
      }
      store<kVec>(grad[s], static_cast<T*>(io.grad_branch) + row * dim, own.at(s));
    }
  }

  float* partial = io.partial + static_cast<int64_t>(blockIdx.x) * kSums * dim;
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    if (!own.has(s)) continue;
    store<kVec>(of_grad[s], partial, own.at(s));
    store<kVec>(of_normal[s], partial + dim, own.at(s));
    if (io.branch != nullptr) store<kVec>(of_branch[s], partial + 2 * dim, own.at(s));
  }
}

/// Element i of a parameter, or `missing`.
template <class P>
__device__ float parameter(const void* data, int64_t i, float missing) {
  return data == nullptr ? missing : to_float(static_cast<const P*>(data)[i]);
}

/// Adds a sample's partial sums into its first task's place: a block takes 32 columns.
template <class P>
__global__ void __launch_bounds__(kWarp* kMostSections)
    reduce_samples(NormProblem problem, NormParameters p, ModulateNormBackward io) {
  const int64_t dim = problem.dim;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x % kWarp;
  const int64_t b = blockIdx.y;
  const int kinds = io.branch != nullptr ? kSums : kSums - 1;
  float* tasks = io.partial + b * problem.tasks_per_sample() * kSums * dim;
  float sum[kSums] = {};
  if (!add_tasks(tasks, problem.tasks_per_sample(), dim, kinds, kSums * dim, i, sum)) return;
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

/// Whether rows of all these arrays begin on a boundary of 16 bytes.
template <class T>
bool rows_go_wide(const NormProblem& problem, const NormParameters& p,
                  std::initializer_list<const void*> arrays) {
  return can_go_wide<T>(arrays, {problem.dim}) &&
         can_go_wide<T>({p.weight, p.bias, p.scale.data, p.shift.data, p.gate.data},
                        {p.scale.stride, p.shift.stride, p.gate.stride});
}

/// Calls `launch` with the packs that a thread holds and the threads of a block, for the first
/// number of packs of kFirst, kMore... that leaves at most `most_threads`, or else for the last.
template <int kFirst, int... kMore, class Launch>
void with_steps(int64_t packs, int64_t most_threads, Launch&& launch) {
  const int64_t threads = blocks_for(packs, kFirst * kWarp) * int64_t{kWarp};
  if constexpr (sizeof...(kMore) > 0) {
    if (threads > most_threads) return with_steps<kMore...>(packs, most_threads, launch);
  }
  launch(Width<kFirst>{}, static_cast<unsigned>(threads));
}

/// Calls `launch` with the width of an access, the packs that a thread holds and the threads: at
/// most `most_threads` while a thread need not hold more than kMostHeld elements for it.
template <class T, class Launch>
void with_sharing(int64_t dim, bool wide, int64_t most_threads, Launch&& launch) {
  with_width<T>(wide, [&](auto vec) {
    constexpr int kVec = decltype(vec)::value;
    const auto with_vec = [&](auto steps, unsigned threads) { launch(vec, steps, threads); };
    const int64_t packs = (dim + kVec - 1) / kVec;
    if constexpr (kVec == 8) {
      with_steps<1, 2, 3>(packs, most_threads, with_vec);
    } else if constexpr (kVec == 4) {
      with_steps<1, 2, 3, 6>(packs, most_threads, with_vec);
    } else {
      with_steps<1, kMostHeld>(packs, kMaxThreads, with_vec);
    }
  });
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
  if (io.amax != nullptr && io.amax_of_all) cudaMemsetAsync(io.amax, 0, sizeof(float), stream);
  with_types(problem, [&](auto storage, auto param) {
    using T = decltype(storage);
    using P = decltype(param);
    const bool wide = rows_go_wide<T>(problem, parameters, {io.x, io.branch, io.h, io.y});
    with_sharing<T>(problem.dim, wide, kForwardThreads,
                    [&](auto vec, auto steps, unsigned threads) {
                      launch_kernel(forward<T, P, decltype(vec)::value, decltype(steps)::value>,
                                    rows, threads, stream, problem, parameters, io);
                    });
  });
}

void modulate_norm_backward(const NormProblem& problem, const NormParameters& parameters,
                            const ModulateNormBackward& io, CUstream_st* stream) {
  if (problem.batch * problem.tokens == 0) return;
  with_types(problem, [&](auto storage, auto param) {
    using T = decltype(storage);
    using P = decltype(param);
    const bool wide = rows_go_wide<T>(
        problem, parameters,
        {io.grad_y, io.grad_h, io.h, io.branch, io.grad_x, io.grad_branch, io.partial});
    const auto blocks = static_cast<unsigned>(problem.batch * problem.tasks_per_sample());
    with_sharing<T>(problem.dim, wide, kMaxThreads, [&](auto vec, auto steps, unsigned threads) {
      launch_kernel(backward<T, P, decltype(vec)::value, decltype(steps)::value>, blocks, threads,
                    stream, problem, parameters, io);
    });
    const dim3 grid(blocks_for(problem.dim, kWarp), static_cast<unsigned>(problem.batch));
    launch_kernel(reduce_samples<P>, grid, adding_threads(problem.tasks_per_sample()), stream,
                  problem, parameters, io);
    if (io.grad_weight != nullptr || io.grad_bias != nullptr) {
      launch_kernel(reduce_affine<P>, blocks_for(problem.dim, kColumnThreads), kColumnThreads,
                    stream, problem, parameters, io);
    }
  });
}

}  // namespace titan::kernels::cuda
