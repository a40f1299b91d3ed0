#include "titan/kernels/elementwise.h"

#include <algorithm>

#include "titan/kernels/cuda/fused_math.cuh"
#include "titan/kernels/cuda/pack.cuh"
#include "titan/kernels/cuda/task_sums.cuh"

namespace titan::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRowThreads = 512;  // at most, where a block takes a row

/// Threads that share a row of so many packs, each as many of them as the others.
unsigned row_threads(int64_t packs) {
  const int64_t rounds = blocks_for(packs, kRowThreads);
  return blocks_for(packs, rounds * kWarp) * kWarp;
}

/// Row and first column of a thread's pack, where blocks_per_row blocks share a row.
struct Place {
  int64_t row, column;
};
template <int kVec>
__device__ __forceinline__ Place place_of(unsigned blocks_per_row) {
  return {blockIdx.x / blocks_per_row,
          (static_cast<int64_t>(blockIdx.x % blocks_per_row) * kThreads + threadIdx.x) * kVec};
}

template <class T, int kVec>
__global__ void __launch_bounds__(kThreads)
    gelu_forward_rows(GeluProblem p, unsigned blocks_per_row, const T* x, T* out) {
  const Place at = place_of<kVec>(blocks_per_row);
  if (at.column >= p.columns) return;
  float value[kVec];
  load<kVec>(x + at.row * p.x_stride, at.column, value);
#pragma unroll
  for (int k = 0; k < kVec; ++k) value[k] = gelu(value[k]);
  store<kVec>(value, out + at.row * p.out_stride, at.column);
}

template <class T, int kVec>
__global__ void __launch_bounds__(kThreads)
    gelu_backward_rows(GeluProblem p, unsigned blocks_per_row, const T* grad, const T* x,
                       T* grad_x) {
  const Place at = place_of<kVec>(blocks_per_row);
  if (at.column >= p.columns) return;
  float value[kVec], up[kVec];
  load<kVec>(x + at.row * p.x_stride, at.column, value);
  load<kVec>(grad + at.row * p.out_stride, at.column, up);
#pragma unroll
  for (int k = 0; k < kVec; ++k) up[k] *= gelu_slope(value[k]);
  store<kVec>(up, grad_x + at.row * p.x_stride, at.column);
}

template <class T, int kVec>
__global__ void __launch_bounds__(kThreads)
    swiglu_forward_flat(int64_t count, const T* a, const T* b, T* out) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kVec;
  if (i >= count) return;
  float x[kVec], y[kVec];
  load<kVec>(a, i, x);
  load<kVec>(b, i, y);
#pragma unroll
  for (int k = 0; k < kVec; ++k) x[k] = swiglu(x[k], y[k]);
  store<kVec>(x, out, i);
}

template <class T, int kVec>
__global__ void __launch_bounds__(kThreads)
    swiglu_backward_flat(int64_t count, const T* grad, const T* a, const T* b, T* grad_a,
                         T* grad_b) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kVec;
  if (i >= count) return;
  float up[kVec], x[kVec], y[kVec];
  load<kVec>(grad, i, up);
  load<kVec>(a, i, x);
  load<kVec>(b, i, y);
#pragma unroll
  for (int k = 0; k < kVec; ++k) {
    const float s = sigmoid(x[k]);
    y[k] = up[k] * y[k] * s * (1.0F + x[k] * (1.0F - s));
    x[k] = up[k] * x[k] * s;
  }
  store<kVec>(y, grad_a, i);
  store<kVec>(x, grad_b, i);
}

/// One block turns all heads of one token. kVec is even and divides head_dim. A token's numbers and
/// the tokens fit 32 bits: divisions of 64 take as long as the rest.
template <class T, int kVec>
__global__ void __launch_bounds__(kRowThreads)
    rope_rows(RopeProblem p, const T* x, const float* table, T* out) {
  const int64_t row = blockIdx.x;
  const auto head_dim = static_cast<unsigned>(p.head_dim);
  const unsigned width = static_cast<unsigned>(p.heads) * head_dim;
  const float* turn = table + blockIdx.x % static_cast<unsigned>(p.tokens) * p.head_dim;
  const float sign = p.inverse ? -1.0F : 1.0F;
  for (unsigned i = threadIdx.x * kVec; i < width; i += blockDim.x * kVec) {
    float value[kVec], angle[kVec];
    load<kVec>(turn, i % head_dim, angle);
    load<kVec>(x + row * width, i, value);
#pragma unroll
    for (int k = 0; k < kVec; k += 2) {
      const float cosine = angle[k], sine = angle[k + 1] * sign;
      const float even = value[k], odd = value[k + 1];
      value[k] = even * cosine - odd * sine;
      value[k + 1] = even * sine + odd * cosine;
    }
    store<kVec>(value, out + row * width, i);
  }
}

/// One block takes one row.
template <class T, int kVec>
__global__ void __launch_bounds__(kRowThreads)
    residual_forward_rows(ResidualProblem p, const T* x, const T* branch, const T* gate, T* out) {
  const int64_t row = blockIdx.x;
  gate += blockIdx.x / static_cast<unsigned>(p.tokens) * p.gate_stride;  // rows fit a grid
  for (int64_t i = threadIdx.x * kVec; i < p.dim; i += blockDim.x * kVec) {
    float value[kVec], addend[kVec], factor[kVec];
    load<kVec>(x + row * p.dim, i, value);
    load<kVec>(branch + row * p.dim, i, addend);
    load<kVec>(gate, i, factor);
#pragma unroll
    for (int k = 0; k < kVec; ++k) value[k] += factor[k] * addend[k];
    store<kVec>(value, out + row * p.dim, i);
  }
}

constexpr int kColumnThreads = 128;
constexpr int64_t kRowsPerTask = 16;  // rows summed together; part of the result's bits

__host__ __device__ int64_t tasks_per_sample(const ResidualProblem& p) {
  return (p.tokens + kRowsPerTask - 1) / kRowsPerTask;
}

/// A thread owns columns of kRowsPerTask rows of one sample: blockIdx.y counts those.
template <class T, int kVec>
__global__ void __launch_bounds__(kColumnThreads)
    residual_backward_columns(ResidualProblem p, const T* grad, const T* branch, const T* gate,
                              T* grad_branch, float* partial) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kColumnThreads + threadIdx.x) * kVec;
  if (i >= p.dim) return;
  const auto per_sample = static_cast<unsigned>(tasks_per_sample(p));  // tasks fit 32 bits
  for (unsigned task = blockIdx.y; task < p.batch * per_sample; task += gridDim.y) {
    const int64_t b = task / per_sample;
    const int64_t first = task % per_sample * kRowsPerTask;
    const int64_t last = first + kRowsPerTask < p.tokens ? first + kRowsPerTask : p.tokens;
    float factor[kVec], sum[kVec] = {};
    load<kVec>(gate + b * p.gate_stride, i, factor);
    for (int64_t row = b * p.tokens + first; row < b * p.tokens + last; ++row) {
      float up[kVec], value[kVec];
      load<kVec>(grad + row * p.dim, i, up);
      load<kVec>(branch + row * p.dim, i, value);
#pragma unroll
      for (int k = 0; k < kVec; ++k) {
        sum[k] += up[k] * value[k];
        up[k] *= factor[k];
      }
      store<kVec>(up, grad_branch + row * p.dim, i);
    }
    store<kVec>(sum, partial + task * p.dim, i);
  }
}

/// Adds the tasks of 32 columns of one sample.
__global__ void __launch_bounds__(kWarp* kMostSections)
    residual_gate(ResidualProblem p, const float* partial, float* grad_gate) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x % kWarp;
  for (int64_t b = blockIdx.y; b < p.batch; b += gridDim.y) {
    const int64_t tasks = tasks_per_sample(p);
    float sum[1];
    if (add_tasks(partial + b * tasks * p.dim, tasks, p.dim, 1, p.dim, i, sum))
      grad_gate[b * p.dim + i] = sum[0];
  }
}

constexpr int64_t kMaxGridY = 65535;
unsigned grid_y(int64_t count) { return static_cast<unsigned>(std::min(count, kMaxGridY)); }

/// Rows without gaps are one long row.
GeluProblem joined(GeluProblem p) {
  if (p.x_stride != p.columns || p.out_stride != p.columns) return p;
  p.columns *= p.rows;
  p.x_stride = p.out_stride = p.columns;
  p.rows = 1;
  return p;
}

}  // namespace

void gelu_forward(const GeluProblem& problem, const void* x, void* out, CUstream_st* stream) {
  if (problem.rows * problem.columns == 0) return;
  const GeluProblem p = joined(problem);
  with_type(p.storage, [&](auto type) {
    using T = decltype(type);
    const auto launch = [&](auto vec) {
      constexpr int kVec = decltype(vec)::value;
      const unsigned per_row = blocks_for(p.columns, kThreads * kVec);
      launch_kernel(gelu_forward_rows<T, kVec>, static_cast<unsigned>(p.rows) * per_row, kThreads,
                    stream, p, per_row, static_cast<const T*>(x), static_cast<T*>(out));
    };
    with_width<T>(can_go_wide<T>({x, out}, {p.columns, p.x_stride, p.out_stride}), launch);
  });
}

void gelu_backward(const GeluProblem& problem, const void* grad, const void* x, void* grad_x,
                   CUstream_st* stream) {
  if (problem.rows * problem.columns == 0) return;
  const GeluProblem p = joined(problem);
  with_type(p.storage, [&](auto type) {
    using T = decltype(type);
    const auto launch = [&](auto vec) {
      constexpr int kVec = decltype(vec)::value;
      const unsigned per_row = blocks_for(p.columns, kThreads * kVec);
      launch_kernel(gelu_backward_rows<T, kVec>, static_cast<unsigned>(p.rows) * per_row, kThreads,
                    stream, p, per_row, static_cast<const T*>(grad), static_cast<const T*>(x),
                    static_cast<T*>(grad_x));
    };
    with_width<T>(can_go_wide<T>({grad, x, grad_x}, {p.columns, p.x_stride, p.out_stride}), launch);
  });
}

void swiglu_forward(StorageType storage, int64_t count, const void* a, const void* b, void* out,
                    CUstream_st* stream) {
  if (count == 0) return;
  with_type(storage, [&](auto type) {
    using T = decltype(type);
    const auto launch = [&](auto vec) {
      constexpr int kVec = decltype(vec)::value;
      launch_kernel(swiglu_forward_flat<T, kVec>, blocks_for(count, kThreads * kVec), kThreads,
                    stream, count, static_cast<const T*>(a), static_cast<const T*>(b),
                    static_cast<T*>(out));
    };
    with_width<T>(can_go_wide<T>({a, b, out}, {count}), launch);
  });
}

void swiglu_backward(StorageType storage, int64_t count, const void* grad, const void* a,
                     const void* b, void* grad_a, void* grad_b, CUstream_st* stream) {
  if (count == 0) return;
  with_type(storage, [&](auto type) {
    using T = decltype(type);
    const auto launch = [&](auto vec) {
      constexpr int kVec = decltype(vec)::value;
      launch_kernel(swiglu_backward_flat<T, kVec>, blocks_for(count, kThreads * kVec), kThreads,
                    stream, count, static_cast<const T*>(grad), static_cast<const T*>(a),
                    static_cast<const T*>(b), static_cast<T*>(grad_a), static_cast<T*>(grad_b));
    };
    with_width<T>(can_go_wide<T>({grad, a, b, grad_a, grad_b}, {count}), launch);
  });
}

void rope(const RopeProblem& problem, const void* x, const float* table, void* out,
          CUstream_st* stream) {
  const auto rows = static_cast<unsigned>(problem.batch * problem.tokens);
  if (rows == 0 || problem.heads * problem.head_dim == 0) return;
  with_type(problem.storage, [&](auto type) {
    using T = decltype(type);
    const auto launch = [&](auto vec) {
      constexpr int kVec = decltype(vec)::value;
      launch_kernel(rope_rows<T, kVec>, rows, row_threads(problem.heads * problem.head_dim / kVec),
                    stream, problem, static_cast<const T*>(x), table, static_cast<T*>(out));
    };
    if (can_go_wide<T>({x, table, out}, {problem.head_dim})) {
      launch(Width<kWide<T>>{});
    } else {
      launch(Width<2>{});
    }
  });
}

void gated_residual_forward(const ResidualProblem& problem, const void* x, const void* branch,
                            const void* gate, void* out, CUstream_st* stream) {
  const auto rows = static_cast<unsigned>(problem.batch * problem.tokens);
  if (rows == 0 || problem.dim == 0) return;
  with_type(problem.storage, [&](auto type) {
    using T = decltype(type);
    const auto launch = [&](auto vec) {
      constexpr int kVec = decltype(vec)::value;
      launch_kernel(residual_forward_rows<T, kVec>, rows, row_threads(problem.dim / kVec), stream,
                    problem, static_cast<const T*>(x), static_cast<const T*>(branch),
                    static_cast<const T*>(gate), static_cast<T*>(out));
    };
    with_width<T>(can_go_wide<T>({x, branch, gate, out}, {problem.dim, problem.gate_stride}),
                  launch);
  });
}

int64_t gated_residual_partial_size(const ResidualProblem& problem) {
  return problem.batch * tasks_per_sample(problem) * problem.dim;
}

void gated_residual_backward(const ResidualProblem& problem, const void* grad, const void* branch,
                             const void* gate, void* grad_branch, float* grad_gate, float* partial,
                             CUstream_st* stream) {
  if (problem.batch * problem.dim == 0) return;
  with_type(problem.storage, [&](auto type) {
    using T = decltype(type);
    const auto launch = [&](auto vec) {
      constexpr int kVec = decltype(vec)::value;
      const dim3 grid(blocks_for(problem.dim, kColumnThreads * kVec),
                      grid_y(problem.batch * tasks_per_sample(problem)));
      launch_kernel(residual_backward_columns<T, kVec>, grid, kColumnThreads, stream, problem,
                    static_cast<const T*>(grad), static_cast<const T*>(branch),
                    static_cast<const T*>(gate), static_cast<T*>(grad_branch), partial);
    };
    if (problem.tokens > 0) {
      with_width<T>(can_go_wide<T>({grad, branch, gate, grad_branch, partial},
                                   {problem.dim, problem.gate_stride}),
                    launch);
    }
  });
  const dim3 grid(blocks_for(problem.dim, kWarp), grid_y(problem.batch));
  launch_kernel(residual_gate, grid, adding_threads(tasks_per_sample(problem)), stream, problem,
                partial, grad_gate);
}

}  // namespace titan::kernels::cuda
