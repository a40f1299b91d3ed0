#include "titan/kernels/elementwise.h"

#include "titan/kernels/cpu/simd.h"

namespace titan::kernels::cpu {
namespace {

constexpr int64_t kElementsPerTask = 16 * 1024;

struct SwigluArgs {
  int64_t count;
  const void *grad, *a, *b;
  void *out, *grad_a, *grad_b;
};

struct Range {
  int64_t first, last;
};
TITAN_INLINE Range elements_of(int64_t count, int64_t task) {
  const int64_t first = task * kElementsPerTask;
  return {first, first + kElementsPerTask < count ? first + kElementsPerTask : count};
}

TITAN_INLINE float sigmoid(float x) { return 1.0F / (1.0F + exp_float(-x)); }

template <class T>
TITAN_INLINE void swiglu_forward_body(const SwigluArgs& args, int64_t task) {
  const T* a = static_cast<const T*>(args.a);
  const T* b = static_cast<const T*>(args.b);
  T* out = static_cast<T*>(args.out);
  const Range range = elements_of(args.count, task);
#pragma omp simd
  for (int64_t i = range.first; i < range.last; ++i) {
    const float x = to_float(a[i]);
    out[i] = from_float<T>(x * sigmoid(x) * to_float(b[i]));
  }
}
TITAN_VERSIONS(swiglu_forward, SwigluArgs)

template <class T>
TITAN_INLINE void swiglu_backward_body(const SwigluArgs& args, int64_t task) {
  const T* grad = static_cast<const T*>(args.grad);
  const T* a = static_cast<const T*>(args.a);
  const T* b = static_cast<const T*>(args.b);
  T* grad_a = static_cast<T*>(args.grad_a);
  T* grad_b = static_cast<T*>(args.grad_b);
  const Range range = elements_of(args.count, task);
#pragma omp simd
  for (int64_t i = range.first; i < range.last; ++i) {
    const float x = to_float(a[i]);
    const float g = to_float(grad[i]);
    const float s = sigmoid(x);
    grad_b[i] = from_float<T>(g * x * s);
    grad_a[i] = from_float<T>(g * to_float(b[i]) * s * (1.0F + x * (1.0F - s)));
  }
}
TITAN_VERSIONS(swiglu_backward, SwigluArgs)

struct GeluArgs {
  GeluProblem problem;
  const void *grad, *x;
  void *out, *grad_x;
};

// x / 2 (1 + tanh(z)) = x sigmoid(2 z), with 2 z = x (kGeluLinear + kGeluCubic x^2).
constexpr float kGeluLinear = 1.5957691216F;  // 2 sqrt(2 / pi)
constexpr float kGeluCubic = 1.5957691216F * 0.044715F;

/// One task takes one row.
template <class T>
TITAN_INLINE void gelu_forward_body(const GeluArgs& args, int64_t task) {
  const T* x = static_cast<const T*>(args.x) + task * args.problem.x_stride;
  T* out = static_cast<T*>(args.out) + task * args.problem.out_stride;
#pragma omp simd
  for (int64_t i = 0; i < args.problem.columns; ++i) {
    const float value = to_float(x[i]);
    out[i] = from_float<T>(value * sigmoid(value * (kGeluLinear + kGeluCubic * value * value)));
  }
}
TITAN_VERSIONS(gelu_forward, GeluArgs)

template <class T>
TITAN_INLINE void gelu_backward_body(const GeluArgs& args, int64_t task) {
  const T* x = static_cast<const T*>(args.x) + task * args.problem.x_stride;
  const T* grad = static_cast<const T*>(args.grad) + task * args.problem.out_stride;
  T* grad_x = static_cast<T*>(args.grad_x) + task * args.problem.x_stride;
#pragma omp simd
  for (int64_t i = 0; i < args.problem.columns; ++i) {
    const float value = to_float(x[i]);
    const float square = value * value;
    const float s = sigmoid(value * (kGeluLinear + kGeluCubic * square));
    const float slope = value * (kGeluLinear + 3.0F * kGeluCubic * square) * (1.0F - s);
    grad_x[i] = from_float<T>(to_float(grad[i]) * s * (1.0F + slope));
  }
}
TITAN_VERSIONS(gelu_backward, GeluArgs)

struct RopeArgs {
  RopeProblem problem;
  const void* x;
  const float* table;
  void* out;
};

/// One task turns all heads of one token.
template <class T>
TITAN_INLINE void rope_body(const RopeArgs& args, int64_t task) {
  const int64_t pairs = args.problem.head_dim / 2;
  const float* turn = args.table + (task % args.problem.tokens) * args.problem.head_dim;
  const float sign = args.problem.inverse ? -1.0F : 1.0F;
  for (int64_t head = 0; head < args.problem.heads; ++head) {
    const int64_t start = (task * args.problem.heads + head) * args.problem.head_dim;
    const T* x = static_cast<const T*>(args.x) + start;
    T* out = static_cast<T*>(args.out) + start;
#pragma omp simd
    for (int64_t i = 0; i < pairs; ++i) {
      const float cosine = turn[2 * i];
      const float sine = turn[2 * i + 1] * sign;
      const float even = to_float(x[2 * i]);
      const float odd = to_float(x[2 * i + 1]);
      out[2 * i] = from_float<T>(even * cosine - odd * sine);
      out[2 * i + 1] = from_float<T>(even * sine + odd * cosine);
    }
  }
}
TITAN_VERSIONS(rope, RopeArgs)

struct ResidualArgs {
  ResidualProblem problem;
  const void *x, *grad, *branch, *gate;
  void *out, *grad_branch;
  float* grad_gate;
};

/// One task takes one row.
template <class T>
TITAN_INLINE void residual_forward_body(const ResidualArgs& args, int64_t task) {
  const ResidualProblem& problem = args.problem;
  const T* x = static_cast<const T*>(args.x) + task * problem.dim;
  const T* branch = static_cast<const T*>(args.branch) + task * problem.dim;
  const T* gate = static_cast<const T*>(args.gate) + task / problem.tokens * problem.gate_stride;
  T* out = static_cast<T*>(args.out) + task * problem.dim;
#pragma omp simd
  for (int64_t i = 0; i < problem.dim; ++i) {
    out[i] = from_float<T>(to_float(x[i]) + to_float(gate[i]) * to_float(branch[i]));
  }
}
TITAN_VERSIONS(residual_forward, ResidualArgs)

/// One task takes one sample, whose rows are summed in order.
template <class T>
TITAN_INLINE void residual_backward_body(const ResidualArgs& args, int64_t task) {
  const ResidualProblem& problem = args.problem;
  const T* gate = static_cast<const T*>(args.gate) + task * problem.gate_stride;
  float* sums = args.grad_gate + task * problem.dim;
  for (int64_t i = 0; i < problem.dim; ++i) sums[i] = 0.0F;
  for (int64_t row = task * problem.tokens; row < (task + 1) * problem.tokens; ++row) {
    const T* grad = static_cast<const T*>(args.grad) + row * problem.dim;
    const T* branch = static_cast<const T*>(args.branch) + row * problem.dim;
    T* grad_branch = static_cast<T*>(args.grad_branch) + row * problem.dim;
#pragma omp simd
    for (int64_t i = 0; i < problem.dim; ++i) {
      const float g = to_float(grad[i]);
      sums[i] += g * to_float(branch[i]);
      grad_branch[i] = from_float<T>(g * to_float(gate[i]));
    }
  }
}
TITAN_VERSIONS(residual_backward, ResidualArgs)

int64_t swiglu_tasks(int64_t count) { return (count + kElementsPerTask - 1) / kElementsPerTask; }

}  // namespace

void swiglu_forward(StorageType storage, int64_t count, const void* a, const void* b, void* out) {
  const SwigluArgs args{count, nullptr, a, b, out, nullptr, nullptr};
  run_tasks(swiglu_tasks(count), count > kParallelElements, swiglu_forward_for(storage), args);
}

void swiglu_backward(StorageType storage, int64_t count, const void* grad, const void* a,
                     const void* b, void* grad_a, void* grad_b) {
  const SwigluArgs args{count, grad, a, b, nullptr, grad_a, grad_b};
  run_tasks(swiglu_tasks(count), count > kParallelElements, swiglu_backward_for(storage), args);
}

void gelu_forward(const GeluProblem& problem, const void* x, void* out) {
  const GeluArgs args{problem, nullptr, x, out, nullptr};
  run_tasks(problem.rows, problem.rows * problem.columns > kParallelElements,
            gelu_forward_for(problem.storage), args);
}

void gelu_backward(const GeluProblem& problem, const void* grad, const void* x, void* grad_x) {
  const GeluArgs args{problem, grad, x, nullptr, grad_x};
  run_tasks(problem.rows, problem.rows * problem.columns > kParallelElements,
            gelu_backward_for(problem.storage), args);
}

void rope(const RopeProblem& problem, const void* x, const float* table, void* out) {
  const RopeArgs args{problem, x, table, out};
  const int64_t rows = problem.batch * problem.tokens;
  run_tasks(rows, rows * problem.heads * problem.head_dim > kParallelElements,
            rope_for(problem.storage), args);
}

void gated_residual_forward(const ResidualProblem& problem, const void* x, const void* branch,
                            const void* gate, void* out) {
  const ResidualArgs args{problem, x, nullptr, branch, gate, out, nullptr, nullptr};
  const int64_t rows = problem.batch * problem.tokens;
  run_tasks(rows, rows * problem.dim > kParallelElements, residual_forward_for(problem.storage),
            args);
}

void gated_residual_backward(const ResidualProblem& problem, const void* grad, const void* branch,
                             const void* gate, void* grad_branch, float* grad_gate) {
  const ResidualArgs args{problem, nullptr, grad, branch, gate, nullptr, grad_branch, grad_gate};
  run_tasks(problem.batch, problem.batch * problem.tokens * problem.dim > kParallelElements,
            residual_backward_for(problem.storage), args);
}

}  // namespace titan::kernels::cpu
