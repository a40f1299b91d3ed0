#include "titan/kernels/modulate_norm.h"

#include <cmath>

#include "titan/kernels/cpu/simd.h"

namespace titan::kernels {
namespace {
// Kinds of partial sums over rows: of grad_y, of grad_y * normalised h, of grad_h * branch.
constexpr int64_t kSums = 3;
}  // namespace

int64_t modulate_norm_partial_size(const NormProblem& problem) {
  return problem.batch * problem.tasks_per_sample() * kSums * problem.dim;
}

namespace cpu {
namespace {

struct ForwardArgs {
  NormProblem problem;
  NormParameters parameters;
  ModulateNormForward io;
};
struct BackwardArgs {
  NormProblem problem;
  NormParameters parameters;
  ModulateNormBackward io;
};

/// Element i of a parameter of either type, or `missing`.
TITAN_INLINE float parameter(const void* data, StorageType storage, int64_t i, float missing) {
  if (data == nullptr) return missing;
  if (storage == StorageType::kFloat32) return static_cast<const float*>(data)[i];
  return to_float(static_cast<const BFloat16*>(data)[i]);
}

/// The modulated affine map of sample `b` as y = norm(h) * factor + offset.
TITAN_INLINE void fold_parameters(const NormProblem& problem, const NormParameters& p, int64_t b,
                                  float* factor, float* offset) {
  for (int64_t i = 0; i < problem.dim; ++i) {
    const float one_scale =
        1.0F + parameter(p.scale.data, problem.param_storage, b * p.scale.stride + i, 0.0F);
    factor[i] = parameter(p.weight, problem.param_storage, i, 1.0F) * one_scale;
    if (offset == nullptr) continue;
    offset[i] = parameter(p.bias, problem.param_storage, i, 0.0F) * one_scale +
                parameter(p.shift.data, problem.param_storage, b * p.shift.stride + i, 0.0F);
  }
}

TITAN_INLINE void load_gate(const NormProblem& problem, const NormParameters& p, int64_t b,
                            float* gate) {
  for (int64_t i = 0; i < problem.dim; ++i) {
    gate[i] = parameter(p.gate.data, problem.param_storage, b * p.gate.stride + i, 1.0F);
  }
}

struct RowRange {
  int64_t sample, first, last;  // rows in [0, batch * tokens)
};
TITAN_INLINE RowRange rows_of(const NormProblem& problem, int64_t task) {
  const int64_t per_sample = problem.tasks_per_sample();
  const int64_t sample = task / per_sample;
  const int64_t first = (task % per_sample) * problem.rows_per_task;
  const int64_t end = first + problem.rows_per_task;
  const int64_t last = end < problem.tokens ? end : problem.tokens;
  return {sample, sample * problem.tokens + first, sample * problem.tokens + last};
}

template <class T>
TITAN_INLINE void forward_body(const ForwardArgs& args, int64_t task) {
  const NormProblem& problem = args.problem;
  const ModulateNormForward& io = args.io;
  const int64_t dim = problem.dim;
  float* factor = scratch(4 * dim);
  float* offset = factor + dim;
  float* gate = offset + dim;
  float* values = gate + dim;
  const RowRange rows = rows_of(problem, task);
  fold_parameters(problem, args.parameters, rows.sample, factor, offset);
  if (io.branch != nullptr) load_gate(problem, args.parameters, rows.sample, gate);
  const float inverse_dim = 1.0F / static_cast<float>(dim);

  for (int64_t row = rows.first; row < rows.last; ++row) {
    const T* x = static_cast<const T*>(io.x) + row * dim;
    T* y = static_cast<T*>(io.y) + row * dim;
    if (io.branch != nullptr) {
      const T* branch = static_cast<const T*>(io.branch) + row * dim;
      T* h = static_cast<T*>(io.h) + row * dim;
#pragma omp simd
      for (int64_t i = 0; i < dim; ++i) {
        const T rounded = from_float<T>(to_float(x[i]) + gate[i] * to_float(branch[i]));
        h[i] = rounded;
        values[i] = to_float(rounded);  // backward sees h as stored
      }
    } else {
#pragma omp simd
      for (int64_t i = 0; i < dim; ++i) values[i] = to_float(x[i]);
    }
    float mean = 0.0F;
    if (!problem.rms) {
#pragma omp simd reduction(+ : mean)
      for (int64_t i = 0; i < dim; ++i) mean += values[i];
      mean *= inverse_dim;
    }
    float squares = 0.0F;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < dim; ++i) squares += (values[i] - mean) * (values[i] - mean);
    const float rstd = 1.0F / std::sqrt(squares * inverse_dim + problem.eps);
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i)
      y[i] = from_float<T>((values[i] - mean) * rstd * factor[i] + offset[i]);
    if (!problem.rms) io.mean[row] = mean;
    io.rstd[row] = rstd;
  }
}
TITAN_VERSIONS(forward, ForwardArgs)

template <class T>
TITAN_INLINE void backward_body(const BackwardArgs& args, int64_t task) {
  const NormProblem& problem = args.problem;
  const ModulateNormBackward& io = args.io;
  const int64_t dim = problem.dim;
  float* factor = scratch(4 * dim);
  float* gate = factor + dim;
  float* normalised = gate + dim;
  float* grads = normalised + dim;
  float* sum_grad = io.partial + task * kSums * dim;
  float* sum_grad_normalised = sum_grad + dim;
  float* sum_gate = sum_grad_normalised + dim;
  for (int64_t i = 0; i < kSums * dim; ++i) sum_grad[i] = 0.0F;
  const RowRange rows = rows_of(problem, task);
  fold_parameters(problem, args.parameters, rows.sample, factor, nullptr);
  if (io.branch != nullptr) load_gate(problem, args.parameters, rows.sample, gate);
  const float inverse_dim = 1.0F / static_cast<float>(dim);

  for (int64_t row = rows.first; row < rows.last; ++row) {
    const T* grad_y = static_cast<const T*>(io.grad_y) + row * dim;
    const T* h = static_cast<const T*>(io.h) + row * dim;
    T* grad_x = static_cast<T*>(io.grad_x) + row * dim;
    const float rstd = io.rstd[row];
    const float mean = problem.rms ? 0.0F : io.mean[row];
    float along_one = 0.0F;
    float along_h = 0.0F;
#pragma omp simd reduction(+ : along_one, along_h)
    for (int64_t i = 0; i < dim; ++i) {
      const float grad = to_float(grad_y[i]);
      const float unit = (to_float(h[i]) - mean) * rstd;
      const float inner = grad * factor[i];
      along_one += inner;
      along_h += inner * unit;
      sum_grad[i] += grad;
      sum_grad_normalised[i] += grad * unit;
      normalised[i] = unit;
      grads[i] = inner;
    }
    along_one = problem.rms ? 0.0F : along_one * inverse_dim;
    along_h *= inverse_dim;
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i)
      grads[i] = rstd * (grads[i] - along_one - normalised[i] * along_h);
    if (io.grad_h != nullptr) {
      const T* grad_h = static_cast<const T*>(io.grad_h) + row * dim;
#pragma omp simd
      for (int64_t i = 0; i < dim; ++i) grads[i] += to_float(grad_h[i]);
    }
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i) grad_x[i] = from_float<T>(grads[i]);
    if (io.branch == nullptr) continue;
    const T* branch = static_cast<const T*>(io.branch) + row * dim;
    T* grad_branch = static_cast<T*>(io.grad_branch) + row * dim;
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i) {
      sum_gate[i] += grads[i] * to_float(branch[i]);
      grad_branch[i] = from_float<T>(grads[i] * gate[i]);
    }
  }
}
TITAN_VERSIONS(backward, BackwardArgs)

/// Adds the partial sums of sample `b` into its first task's place and turns them into the sample's
/// gradients.
void reduce_sample(const NormProblem& problem, const NormParameters& p,
                   const ModulateNormBackward& io, int64_t b) {
  const int64_t dim = problem.dim;
  const int64_t per_sample = problem.tasks_per_sample();
  float* sums = io.partial + b * per_sample * kSums * dim;
  for (int64_t task = 1; task < per_sample; ++task) {
    const float* more = sums + task * kSums * dim;
#pragma omp simd
    for (int64_t i = 0; i < kSums * dim; ++i) sums[i] += more[i];
  }
  for (int64_t i = 0; i < dim; ++i) {
    if (io.grad_shift != nullptr) io.grad_shift[b * dim + i] = sums[i];
    if (io.grad_scale != nullptr) {
      io.grad_scale[b * dim + i] =
          parameter(p.weight, problem.param_storage, i, 1.0F) * sums[dim + i] +
          parameter(p.bias, problem.param_storage, i, 0.0F) * sums[i];
    }
    if (io.grad_gate != nullptr) io.grad_gate[b * dim + i] = sums[2 * dim + i];
  }
}

}  // namespace

void modulate_norm_forward(const NormProblem& problem, const NormParameters& parameters,
                           const ModulateNormForward& io) {
  const ForwardArgs args{problem, parameters, io};
  run_tasks(problem.batch * problem.tasks_per_sample(),
            problem.batch * problem.tokens * problem.dim >= kParallelElements,
            forward_for(problem.storage), args);
}

void modulate_norm_backward(const NormProblem& problem, const NormParameters& parameters,
                            const ModulateNormBackward& io) {
  const BackwardArgs args{problem, parameters, io};
  const bool parallel = problem.batch * problem.tokens * problem.dim >= kParallelElements;
  const int64_t per_sample = problem.tasks_per_sample();
  run_tasks(problem.batch * per_sample, parallel, backward_for(problem.storage), args);
#pragma omp parallel for schedule(static) if (parallel)
  for (int64_t b = 0; b < problem.batch; ++b) reduce_sample(problem, parameters, io, b);

  const int64_t dim = problem.dim;
  for (int64_t i = 0; i < dim; ++i) {
    float weight = 0.0F;
    float bias = 0.0F;
    for (int64_t b = 0; b < problem.batch; ++b) {
      const float* sums = io.partial + b * per_sample * kSums * dim;
      const SampleRows& scale = parameters.scale;
      const float one_scale =
          1.0F + parameter(scale.data, problem.param_storage, b * scale.stride + i, 0.0F);
      weight += one_scale * sums[dim + i];
      bias += one_scale * sums[i];
    }
    if (io.grad_weight != nullptr) io.grad_weight[i] = weight;
    if (io.grad_bias != nullptr) io.grad_bias[i] = bias;
  }
}

}  // namespace cpu
}  // namespace titan::kernels
