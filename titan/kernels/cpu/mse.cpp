#include "titan/kernels/mse.h"

#include "titan/kernels/cpu/simd.h"

namespace titan::kernels {

int64_t mse_partial_size(const MseProblem& problem) { return problem.batch * mse_tasks(problem); }

namespace cpu {
namespace {

struct MseArgs {
  MseProblem problem;
  const float* grad;
  const void* prediction;
  const float* target;
  void* grad_prediction;
  float* partial;
};

/// First element of a task, and how many it has.
struct Span {
  int64_t first, count;
};
TITAN_INLINE Span span_of(const MseProblem& p, int64_t task) {
  const int64_t begin = task % mse_tasks(p) * kMseElementsPerTask;
  const int64_t left = p.elements - begin;
  return {task / mse_tasks(p) * p.elements + begin,
          left < kMseElementsPerTask ? left : kMseElementsPerTask};
}

template <class T>
TITAN_INLINE void mse_forward_body(const MseArgs& args, int64_t task) {
  const Span span = span_of(args.problem, task);
  const T* prediction = static_cast<const T*>(args.prediction) + span.first;
  const float* target = args.target + span.first;
  float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < span.count; ++i) {
    const float error = to_float(prediction[i]) - target[i];
    sum += error * error;
  }
  args.partial[task] = sum;
}
TITAN_VERSIONS(mse_forward, MseArgs)

template <class T>
TITAN_INLINE void mse_backward_body(const MseArgs& args, int64_t task) {
  const Span span = span_of(args.problem, task);
  const T* prediction = static_cast<const T*>(args.prediction) + span.first;
  const float* target = args.target + span.first;
  T* out = static_cast<T*>(args.grad_prediction) + span.first;
  const float factor =
      2.0F / static_cast<float>(args.problem.elements) * args.grad[task / mse_tasks(args.problem)];
#pragma omp simd
  for (int64_t i = 0; i < span.count; ++i)
    out[i] = from_float<T>(factor * (to_float(prediction[i]) - target[i]));
}
TITAN_VERSIONS(mse_backward, MseArgs)

bool worth_threads(const MseProblem& p) { return p.batch * p.elements > kParallelElements; }

}  // namespace

void mse_forward(const MseProblem& problem, const void* prediction, const float* target, float* out,
                 float* partial) {
  const MseArgs args{problem, nullptr, prediction, target, nullptr, partial};
  const int64_t tasks = mse_tasks(problem);
  run_tasks(problem.batch * tasks, worth_threads(problem), mse_forward_for(problem.storage), args);
  for (int64_t b = 0; b < problem.batch; ++b) {
    float sum = 0.0F;
    for (int64_t task = 0; task < tasks; ++task) sum += partial[b * tasks + task];
    out[b] = sum / static_cast<float>(problem.elements);
  }
}

void mse_backward(const MseProblem& problem, const float* grad, const void* prediction,
                  const float* target, void* grad_prediction) {
  const MseArgs args{problem, grad, prediction, target, grad_prediction, nullptr};
  run_tasks(problem.batch * mse_tasks(problem), worth_threads(problem),
            mse_backward_for(problem.storage), args);
}

}  // namespace cpu
}  // namespace titan::kernels
