#include "titan/kernels/stream_qkv.h"

#include "titan/kernels/cuda/pack.cuh"

namespace titan::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMaxHeadDim = 256;
constexpr int64_t kRowsPerTask = 8;  // rows summed together; part of the result's bits
constexpr int kParts = 3;            // queries, keys, values
constexpr int kSections = 32;        // of the tasks, in the last sum

int64_t tasks_of(const StreamQkvProblem& p) {
  return (p.batch * p.tokens + kRowsPerTask - 1) / kRowsPerTask;
}

/// How the threads of a block share heads: kLanes neighbours hold one, kSteps packs of kVec
/// elements each; one pack where that is all of it. A token's heads lie end to end, first all
/// queries, then keys, then values: items.
template <int kVec_, int kSteps_, int kLanes_>
struct Sharing {
  static constexpr int kVec = kVec_, kSteps = kSteps_, kLanes = kLanes_;
  static constexpr int kGroups = kThreads / kLanes;
  int head_dim, lane, group;
  __device__ explicit Sharing(const StreamQkvProblem& p)
      : head_dim(kSteps == 1 ? kLanes * kVec : static_cast<int>(p.head_dim)),
        lane(static_cast<int>(threadIdx.x) % kLanes),
        group(static_cast<int>(threadIdx.x) / kLanes) {}
  __device__ int first(int step) const { return (step * kLanes + lane) * kVec; }
};

/// Elements of one head that this thread holds, as they lie in memory; zero where there are none.
template <class T, int kVec, int kSteps>
struct RawHead {
  Pack<T, kVec> pack[kSteps];
  __device__ __forceinline__ void widen(float (&to)[kSteps][kVec]) const {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
#pragma unroll
      for (int k = 0; k < kVec; ++k) to[s][k] = pack[s].get(k);
    }
  }
};
template <class T, class Share>
__device__ __forceinline__ auto fetch_head(const T* from, bool active, const Share& share) {
  RawHead<T, Share::kVec, Share::kSteps> raw = {};
#pragma unroll
  for (int s = 0; s < Share::kSteps; ++s) {
    const int i = share.first(s);
    if (active && i < share.head_dim) raw.pack[s] = fetch<Share::kVec>(from, i);
  }
  return raw;
}
template <class T, class Share, int kVec, int kSteps>
__device__ __forceinline__ void load_head(const T* from, bool active, const Share& share,
                                          float (&to)[kSteps][kVec]) {
  fetch_head(from, active, share).widen(to);
}
template <class T, class Share, int kVec, int kSteps>
__device__ __forceinline__ void store_head(const float (&from)[kSteps][kVec], const Share& share,
                                           T* to) {
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    const int i = share.first(s);
    if (i < share.head_dim) store<kVec>(from[s], to, i);
  }
}

/// Where row `row` of the stream (of [batch, tokens]) lies among the joint rows.
__device__ __forceinline__ int64_t joint_row(const StreamQkvProblem& p, int64_t row) {
  return row / p.tokens * p.joint_tokens + p.first_token + row % p.tokens;
}

/// One block takes one row.
template <class T, int kVec, int kSteps, int kLanes>
__global__ void __launch_bounds__(kThreads)
    forward(StreamQkvProblem p, StreamQkvParameters parameters, StreamQkvForward io) {
  const Sharing<kVec, kSteps, kLanes> share(p);
  const int64_t joint = joint_row(p, blockIdx.x);
  const int head_dim = share.head_dim, heads = static_cast<int>(p.heads), items = kParts * heads;
  const int64_t width = p.heads * head_dim;
  const T* in = static_cast<const T*>(io.in) + blockIdx.x * p.in_stride;
  const auto fetch_item = [&](int item) {
    return fetch_head(in + static_cast<int64_t>(item) * head_dim, item < items, share);
  };
  auto next = fetch_item(share.group);
  float turn[kSteps][kVec];
  load_head(parameters.rope + joint % p.joint_tokens * head_dim, true, share, turn);

  // The same number of rounds for every thread: whole warps exchange sums. The next round's item is
  // on its way meanwhile.
  for (int base = 0; base < items; base += share.kGroups) {
    const int item = base + share.group;
    const bool active = item < items;
    const int part = item / heads, head = item % heads;
    const auto raw = next;
    next = fetch_item(item + share.kGroups);
    float x[kSteps][kVec], scale[kSteps][kVec];
    load_head(part == 0 ? parameters.q_scale : parameters.k_scale, part < 2, share, scale);
    raw.widen(x);
    float squares = 0.0F;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
#pragma unroll
      for (int k = 0; k < kVec; ++k) squares += x[s][k] * x[s][k];
    }
    squares = group_sum(squares, kLanes);
    if (!active) continue;
    const int64_t place = joint * width + static_cast<int64_t>(head) * head_dim;
    if (part == 2) {
      store_head(x, share, static_cast<T*>(io.v) + place);
      continue;
    }
    const float rstd = rsqrtf(squares / static_cast<float>(head_dim) + p.eps);
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
#pragma unroll
      for (int k = 0; k < kVec; k += 2) {
        const float even = x[s][k] * rstd * scale[s][k];
        const float odd = x[s][k + 1] * rstd * scale[s][k + 1];
        x[s][k] = even * turn[s][k] - odd * turn[s][k + 1];
        x[s][k + 1] = even * turn[s][k + 1] + odd * turn[s][k];
      }
    }
    store_head(x, share, static_cast<T*>(part == 0 ? io.q : io.k) + place);
    if (share.lane == 0) (part == 0 ? io.q_rstd : io.k_rstd)[joint * heads + head] = rstd;
  }
}

/// One head backward: from the gradient of its rotated form (`grad`) to that of its projection, in
/// place; adds to `sum` the gradient of the scale. Whole warps must call it.
template <int kLanes, int kVec, int kSteps>
__device__ __forceinline__ void head_backward(const float (&turn)[kSteps][kVec],
                                              const float (&scale)[kSteps][kVec],
                                              const float (&x)[kSteps][kVec], float rstd,
                                              int head_dim, float (&grad)[kSteps][kVec],
                                              float (&sum)[kSteps][kVec]) {
  float along = 0.0F;
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
#pragma unroll
    for (int k = 0; k < kVec; k += 2) {  // the inverse rotation
      const float even = grad[s][k], odd = grad[s][k + 1];
      grad[s][k] = even * turn[s][k] + odd * turn[s][k + 1];
      grad[s][k + 1] = odd * turn[s][k] - even * turn[s][k + 1];
    }
#pragma unroll
    for (int k = 0; k < kVec; ++k) {
      const float unit = x[s][k] * rstd;
      sum[s][k] += grad[s][k] * unit;
      grad[s][k] *= scale[s][k];
      along += grad[s][k] * unit;
    }
  }
  along = group_sum(along, kLanes) / static_cast<float>(head_dim);
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
#pragma unroll
    for (int k = 0; k < kVec; ++k) grad[s][k] = rstd * (grad[s][k] - x[s][k] * rstd * along);
  }
}

/// One block takes kRowsPerTask rows. A thread keeps its place in the head, so the sums over rows
/// and heads stay in registers until the block adds them up, group after group.
template <class T, int kVec, int kSteps, int kLanes>
__global__ void __launch_bounds__(kThreads)
    backward(StreamQkvProblem p, StreamQkvParameters parameters, StreamQkvBackward io) {
  // 2 scales x groups x head_dim, and groups * head_dim is at most this.
  constexpr int kSums = kThreads / kWarp * kMaxHeadDim;
  __shared__ float sums[2 * kSums];
  const Sharing<kVec, kSteps, kLanes> share(p);
  const int head_dim = share.head_dim, heads = static_cast<int>(p.heads);
  const int64_t width = p.heads * head_dim;
  const int64_t rows = p.batch * p.tokens, first = blockIdx.x * kRowsPerTask;
  float q_scale[kSteps][kVec], k_scale[kSteps][kVec];
  float q_sum[kSteps][kVec] = {}, k_sum[kSteps][kVec] = {};
  load_head(parameters.q_scale, true, share, q_scale);
  load_head(parameters.k_scale, true, share, k_scale);

  for (int64_t row = first; row < (first + kRowsPerTask < rows ? first + kRowsPerTask : rows);
       ++row) {
    const int64_t joint = joint_row(p, row);
    const T* in = static_cast<const T*>(io.in) + row * p.in_stride;
    T* grad_in = static_cast<T*>(io.grad_in) + row * p.in_stride;
    float turn[kSteps][kVec];
    load_head(parameters.rope + joint % p.joint_tokens * head_dim, true, share, turn);
    // Queries and keys: the same number of rounds for every thread, as whole warps exchange sums.
    // All that a round reads is on its way before the first sum.
    for (int base = 0; base < heads; base += share.kGroups) {
      const int head = base + share.group;
      const bool active = head < heads;
      const int64_t here = static_cast<int64_t>(head) * head_dim, there = joint * width + here;
      const auto fetch_grad = [&](const void* grad) {
        return fetch_head(static_cast<const T*>(grad) + there, active, share);
      };
      const auto q = fetch_head(in + here, active, share), grad_q = fetch_grad(io.grad_q);
      const auto k = fetch_head(in + width + here, active, share), grad_k = fetch_grad(io.grad_k);
      const auto grad_v = fetch_grad(io.grad_v);
      const float q_rstd = active ? io.q_rstd[joint * heads + head] : 0.0F;
      const float k_rstd = active ? io.k_rstd[joint * heads + head] : 0.0F;
      float x[kSteps][kVec], grad[kSteps][kVec];
      q.widen(x);
      grad_q.widen(grad);
      head_backward<kLanes>(turn, q_scale, x, q_rstd, head_dim, grad, q_sum);
      if (active) store_head(grad, share, grad_in + here);
      k.widen(x);
      grad_k.widen(grad);
      head_backward<kLanes>(turn, k_scale, x, k_rstd, head_dim, grad, k_sum);
      if (!active) continue;
      store_head(grad, share, grad_in + width + here);
      grad_v.widen(grad);
      store_head(grad, share, grad_in + 2 * width + here);
    }
  }

#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    const int i = share.first(s);
    if (i >= head_dim) continue;
#pragma unroll
    for (int k = 0; k < kVec; ++k) {
      sums[share.group * head_dim + i + k] = q_sum[s][k];
      sums[kSums + share.group * head_dim + i + k] = k_sum[s][k];
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < 2 * head_dim; i += kThreads) {
    const float* column = sums + (i < head_dim ? i : kSums + i - head_dim);
    float sum = 0.0F;
    for (int group = 0; group < share.kGroups; ++group) sum += column[group * head_dim];
    io.partial[static_cast<int64_t>(blockIdx.x) * 2 * head_dim + i] = sum;
  }
}

/// Adds the tasks' sums of 32 columns: kSections threads a column, then those in order.
__global__ void __launch_bounds__(kWarp* kSections)
    add_tasks(StreamQkvBackward io, int64_t tasks, int head_dim) {
  __shared__ float sums[kSections][kWarp + 1];
  const int section = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int i = static_cast<int>(blockIdx.x) * kWarp + lane;
  float sum = 0.0F;
  if (i < 2 * head_dim) {
    for (int64_t task = section; task < tasks; task += kSections)
      sum += io.partial[task * 2 * head_dim + i];
  }
  sums[section][lane] = sum;
  __syncthreads();
  if (section != 0 || i >= 2 * head_dim) return;
  for (int other = 1; other < kSections; ++other) sum += sums[other][lane];
  if (i < head_dim) {
    io.grad_q_scale[i] = sum;
  } else {
    io.grad_k_scale[i - head_dim] = sum;
  }
}

/// Calls `launch` with the elements of a pack, a thread's packs of a head and the threads of a
/// head: one 16-byte access each where that works out.
template <class T, class Launch>
void with_sharing(const StreamQkvProblem& p, std::initializer_list<const void*> arrays,
                  Launch&& launch) {
  constexpr int kPairSteps = kMaxHeadDim / (2 * kWarp);
  const bool wide = can_go_wide<T>(arrays, {p.head_dim, p.in_stride});
  switch (wide ? p.head_dim / kWide<T> : 0) {
    case 1:
      return launch(Width<kWide<T>>{}, Width<1>{}, Width<1>{});
    case 2:
      return launch(Width<kWide<T>>{}, Width<1>{}, Width<2>{});
    case 4:
      return launch(Width<kWide<T>>{}, Width<1>{}, Width<4>{});
    case 8:
      return launch(Width<kWide<T>>{}, Width<1>{}, Width<8>{});
    case 16:
      return launch(Width<kWide<T>>{}, Width<1>{}, Width<16>{});
    case kWarp:
      return launch(Width<kWide<T>>{}, Width<1>{}, Width<kWarp>{});
    default:
      return launch(Width<2>{}, Width<kPairSteps>{}, Width<kWarp>{});
  }
}

}  // namespace

int64_t stream_qkv_partial_size(const StreamQkvProblem& problem) {
  return tasks_of(problem) * 2 * problem.head_dim;
}

void stream_qkv_forward(const StreamQkvProblem& problem, const StreamQkvParameters& parameters,
                        const StreamQkvForward& io, CUstream_st* stream) {
  const auto rows = static_cast<unsigned>(problem.batch * problem.tokens);
  if (rows == 0 || problem.heads * problem.head_dim == 0) return;
  with_type(problem.storage, [&](auto type) {
    using T = decltype(type);
    with_sharing<T>(
        problem, {io.in, io.q, io.k, io.v, parameters.q_scale, parameters.k_scale, parameters.rope},
        [&](auto vec, auto steps, auto lanes) {
          launch_kernel(
              forward<T, decltype(vec)::value, decltype(steps)::value, decltype(lanes)::value>,
              rows, kThreads, stream, problem, parameters, io);
        });
  });
}

void stream_qkv_backward(const StreamQkvProblem& problem, const StreamQkvParameters& parameters,
                         const StreamQkvBackward& io, CUstream_st* stream) {
  if (problem.head_dim == 0) return;
  const auto tasks = static_cast<unsigned>(tasks_of(problem));
  with_type(problem.storage, [&](auto type) {
    using T = decltype(type);
    if (tasks == 0) return;
    with_sharing<T>(
        problem,
        {io.grad_q, io.grad_k, io.grad_v, io.in, io.grad_in, parameters.q_scale, parameters.k_scale,
         parameters.rope},
        [&](auto vec, auto steps, auto lanes) {
          launch_kernel(
              backward<T, decltype(vec)::value, decltype(steps)::value, decltype(lanes)::value>,
              tasks, kThreads, stream, problem, parameters, io);
        });
  });
  launch_kernel(add_tasks, blocks_for(2 * problem.head_dim, kWarp), kWarp * kSections, stream, io,
                tasks, static_cast<int>(problem.head_dim));
}

}  // namespace titan::kernels::cuda
