#include "titan/kernels/stream_qkv.h"

#include <cmath>

#include "titan/kernels/cpu/simd.h"

namespace titan::kernels {
namespace {

/// Rows whose contributions to the scales' gradients are summed together; part of the result's
/// bits.
constexpr int64_t kRowsPerTask = 32;

int64_t tasks_of(const StreamQkvProblem& problem) {
  return (problem.batch * problem.tokens + kRowsPerTask - 1) / kRowsPerTask;
}

}  // namespace

int64_t stream_qkv_partial_size(const StreamQkvProblem& problem) {
  return tasks_of(problem) * 2 * problem.head_dim;
}

namespace cpu {
namespace {

struct ForwardArgs {
  StreamQkvProblem problem;
  StreamQkvParameters parameters;
  StreamQkvForward io;
};
struct BackwardArgs {
  StreamQkvProblem problem;
  StreamQkvParameters parameters;
  StreamQkvBackward io;
};

/// Where row `row` of the stream (of [batch, tokens]) lies among the joint rows.
TITAN_INLINE int64_t joint_row(const StreamQkvProblem& problem, int64_t row) {
  return row / problem.tokens * problem.joint_tokens + problem.first_token + row % problem.tokens;
}

/// One head: norm, scale, rotation. Returns 1 / sqrt(mean square + eps).
template <class T>
TITAN_INLINE float norm_and_turn(int64_t dim, float eps, const float* scale, const float* turn,
                                 const T* x, T* out) {
  float squares = 0.0F;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < dim; ++i) squares += to_float(x[i]) * to_float(x[i]);
  const float rstd = 1.0F / std::sqrt(squares / static_cast<float>(dim) + eps);
#pragma omp simd
  for (int64_t i = 0; i < dim / 2; ++i) {
    const float even = to_float(x[2 * i]) * rstd * scale[2 * i];
    const float odd = to_float(x[2 * i + 1]) * rstd * scale[2 * i + 1];
    out[2 * i] = from_float<T>(even * turn[2 * i] - odd * turn[2 * i + 1]);
    out[2 * i + 1] = from_float<T>(even * turn[2 * i + 1] + odd * turn[2 * i]);
  }
  return rstd;
}

template <class T>
TITAN_INLINE void stream_forward_body(const ForwardArgs& args, int64_t task) {
  const StreamQkvProblem& p = args.problem;
  const int64_t width = p.heads * p.head_dim;
  const int64_t end = (task + 1) * kRowsPerTask, rows = p.batch * p.tokens;
  for (int64_t row = task * kRowsPerTask; row < (end < rows ? end : rows); ++row) {
    const int64_t joint = joint_row(p, row);
    const T* in = static_cast<const T*>(args.io.in) + row * p.in_stride;
    const float* turn = args.parameters.rope + joint % p.joint_tokens * p.head_dim;
    T* q = static_cast<T*>(args.io.q) + joint * width;
    T* k = static_cast<T*>(args.io.k) + joint * width;
    T* v = static_cast<T*>(args.io.v) + joint * width;
    for (int64_t head = 0; head < p.heads; ++head) {
      const int64_t at = head * p.head_dim;
      args.io.q_rstd[joint * p.heads + head] =
          norm_and_turn(p.head_dim, p.eps, args.parameters.q_scale, turn, in + at, q + at);
      args.io.k_rstd[joint * p.heads + head] =
          norm_and_turn(p.head_dim, p.eps, args.parameters.k_scale, turn, in + width + at, k + at);
    }
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) v[i] = in[2 * width + i];
  }
}
TITAN_VERSIONS(stream_forward, ForwardArgs)

/// One head backward; adds to `sum` the gradient of the scale. `back` is scratch of dim floats.
template <class T>
TITAN_INLINE void norm_and_turn_backward(int64_t dim, float rstd, const float* scale,
                                         const float* turn, const T* grad, const T* x, T* grad_x,
                                         float* sum, float* back) {
#pragma omp simd
  for (int64_t i = 0; i < dim / 2; ++i) {  // the inverse rotation
    const float even = to_float(grad[2 * i]);
    const float odd = to_float(grad[2 * i + 1]);
    back[2 * i] = even * turn[2 * i] + odd * turn[2 * i + 1];
    back[2 * i + 1] = odd * turn[2 * i] - even * turn[2 * i + 1];
  }
  float along = 0.0F;
#pragma omp simd reduction(+ : along)
  for (int64_t i = 0; i < dim; ++i) {
    const float unit = to_float(x[i]) * rstd;
    sum[i] += back[i] * unit;
    back[i] *= scale[i];
    along += back[i] * unit;
  }
  along /= static_cast<float>(dim);
#pragma omp simd
  for (int64_t i = 0; i < dim; ++i)
    grad_x[i] = from_float<T>(rstd * (back[i] - to_float(x[i]) * rstd * along));
}

template <class T>
TITAN_INLINE void stream_backward_body(const BackwardArgs& args, int64_t task) {
  const StreamQkvProblem& p = args.problem;
  const int64_t width = p.heads * p.head_dim;
  float* sum_q = args.io.partial + task * 2 * p.head_dim;
  float* sum_k = sum_q + p.head_dim;
  for (int64_t i = 0; i < 2 * p.head_dim; ++i) sum_q[i] = 0.0F;
  float* back = scratch(p.head_dim);
  const int64_t end = (task + 1) * kRowsPerTask, rows = p.batch * p.tokens;
  for (int64_t row = task * kRowsPerTask; row < (end < rows ? end : rows); ++row) {
    const int64_t joint = joint_row(p, row);
    const T* in = static_cast<const T*>(args.io.in) + row * p.in_stride;
    T* grad_in = static_cast<T*>(args.io.grad_in) + row * p.in_stride;
    const float* turn = args.parameters.rope + joint % p.joint_tokens * p.head_dim;
    const T* grad_q = static_cast<const T*>(args.io.grad_q) + joint * width;
    const T* grad_k = static_cast<const T*>(args.io.grad_k) + joint * width;
    const T* grad_v = static_cast<const T*>(args.io.grad_v) + joint * width;
    for (int64_t head = 0; head < p.heads; ++head) {
      const int64_t at = head * p.head_dim;
      norm_and_turn_backward(p.head_dim, args.io.q_rstd[joint * p.heads + head],
                             args.parameters.q_scale, turn, grad_q + at, in + at, grad_in + at,
                             sum_q, back);
      norm_and_turn_backward(p.head_dim, args.io.k_rstd[joint * p.heads + head],
                             args.parameters.k_scale, turn, grad_k + at, in + width + at,
                             grad_in + width + at, sum_k, back);
    }
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) grad_in[2 * width + i] = grad_v[i];
  }
}
TITAN_VERSIONS(stream_backward, BackwardArgs)

bool worth_threads(const StreamQkvProblem& p) {
  return p.batch * p.tokens * p.heads * p.head_dim >= kParallelElements;
}

}  // namespace

void stream_qkv_forward(const StreamQkvProblem& problem, const StreamQkvParameters& parameters,
                        const StreamQkvForward& io) {
  const ForwardArgs args{problem, parameters, io};
  run_tasks(tasks_of(problem), worth_threads(problem), stream_forward_for(problem.storage), args);
}

void stream_qkv_backward(const StreamQkvProblem& problem, const StreamQkvParameters& parameters,
                         const StreamQkvBackward& io) {
  const BackwardArgs args{problem, parameters, io};
  run_tasks(tasks_of(problem), worth_threads(problem), stream_backward_for(problem.storage), args);
  for (int64_t i = 0; i < problem.head_dim; ++i) {
    float q = 0.0F, k = 0.0F;
    for (int64_t task = 0; task < tasks_of(problem); ++task) {
      const float* sums = io.partial + task * 2 * problem.head_dim;
      q += sums[i];
      k += sums[problem.head_dim + i];
    }
    io.grad_q_scale[i] = q;
    io.grad_k_scale[i] = k;
  }
}

}  // namespace cpu
}  // namespace titan::kernels
