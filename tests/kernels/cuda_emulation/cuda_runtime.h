// cuda_runtime.h: as much of CUDA as titan/kernels/cuda uses, on the CPU. A block's threads are
// fibers that take turns; they meet at __syncthreads and in shuffles. Blocks run one after the
// other. A meeting that some thread of the block or warp does not reach ends the process: on a
// device that would hang or give garbage. Not thread-safe.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

// NOLINTBEGIN: CUDA's names
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

struct CUstream_st;
using cudaStream_t = CUstream_st*;

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_in = 1, unsigned y_in = 1, unsigned z_in = 1) : x(x_in), y(y_in), z(z_in) {}
};
inline dim3 threadIdx(0, 0, 0), blockIdx(0, 0, 0), blockDim, gridDim;

struct float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline float __fdividef(float x, float y) { return x / y; }

namespace titan::kernels::emulation {

enum class State { kReady, kAtBlock, kAtWarp, kDone };

struct Fiber {
  ucontext_t context;
  State state = State::kReady;
  std::unique_ptr<char[]> stack;
};

struct Machine {
  std::vector<Fiber> fibers;
  ucontext_t scheduler;
  unsigned current = 0;
  std::function<void()> body;
  float lanes[1024];  ///< what each thread gives to a shuffle
};
inline Machine& machine() {
  static Machine machine;
  return machine;
}

/// Leaves the fiber until the others have come here too.
inline void wait(State state) {
  Machine& m = machine();
  Fiber& self = m.fibers[m.current];
  self.state = state;
  swapcontext(&self.context, &m.scheduler);
}

inline void run_fiber() {
  machine().body();
  wait(State::kDone);
}

inline void start_fiber(Fiber& fiber) {
  constexpr std::size_t kStackBytes = 64 * 1024;
  if (!fiber.stack) fiber.stack = std::make_unique<char[]>(kStackBytes);
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, run_fiber, 0);
  fiber.state = State::kReady;
}

/// Lets those go on that have met; false where nobody can.
inline bool release(unsigned threads) {
  constexpr unsigned kLanes = 32;
  std::vector<Fiber>& fibers = machine().fibers;
  unsigned at_block = 0, done = 0;
  for (unsigned t = 0; t < threads; ++t) {
    at_block += fibers[t].state == State::kAtBlock ? 1 : 0;
    done += fibers[t].state == State::kDone ? 1 : 0;
  }
  if (at_block + done == threads) {
    for (Fiber& fiber : fibers)
      if (fiber.state == State::kAtBlock) fiber.state = State::kReady;
    return true;
  }
  bool any = false;
  for (unsigned warp = 0; warp + kLanes <= threads; warp += kLanes) {
    bool all = true;
    for (unsigned t = warp; t < warp + kLanes; ++t) all = all && fibers[t].state == State::kAtWarp;
    for (unsigned t = warp; all && t < warp + kLanes; ++t) fibers[t].state = State::kReady;
    any = any || all;
  }
  return any;
}

inline void run_block(unsigned threads) {
  Machine& m = machine();
  m.fibers.resize(threads);
  for (Fiber& fiber : m.fibers) start_fiber(fiber);
  unsigned done = 0;
  while (done < threads) {
    for (unsigned t = 0; t < threads; ++t) {
      if (m.fibers[t].state != State::kReady) continue;
      m.current = threadIdx.x = t;
      swapcontext(&m.scheduler, &m.fibers[t].context);
      done += m.fibers[t].state == State::kDone ? 1 : 0;
    }
    if (done < threads && !release(threads)) {
      std::fputs("emulation: threads wait for others that never come\n", stderr);
      std::abort();
    }
  }
}

inline void launch(dim3 grid, unsigned threads, std::function<void()> body) {
  constexpr unsigned kMaxThreads = 1024, kMaxGridY = 65535;
  if (threads == 0 || threads > kMaxThreads || grid.x == 0 || grid.y == 0 || grid.y > kMaxGridY) {
    std::fputs("emulation: a launch that a device refuses\n", stderr);
    std::abort();
  }
  machine().body = std::move(body);
  gridDim = grid;
  blockDim = dim3(threads);
  for (unsigned y = 0; y < grid.y; ++y) {
    for (unsigned x = 0; x < grid.x; ++x) {
      blockIdx = dim3(x, y, 0);
      run_block(threads);
    }
  }
}

}  // namespace titan::kernels::emulation

inline void __syncthreads() {
  titan::kernels::emulation::wait(titan::kernels::emulation::State::kAtBlock);
}
inline float __shfl_xor_sync(unsigned, float value, int mask) {
  using namespace titan::kernels::emulation;
  Machine& m = machine();
  const unsigned self = m.current;
  m.lanes[self] = value;
  wait(State::kAtWarp);
  const float other = m.lanes[self ^ static_cast<unsigned>(mask)];
  wait(State::kAtWarp);  // nobody writes before all have read
  return other;
}
// NOLINTEND
