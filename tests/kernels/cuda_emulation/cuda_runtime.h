// cuda_runtime.h: as much of CUDA as titan/kernels/cuda uses, on the CPU. A block's threads are
// fibers that take turns; they meet at __syncthreads and in shuffles. Blocks run one after the
// other. A meeting that some thread of the block or warp does not reach ends the process: on a
// device that would hang or give garbage. Not thread-safe.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

// NOLINTBEGIN: CUDA's names
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __maxnreg__(...)
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
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline unsigned max(unsigned x, unsigned y) { return x > y ? x : y; }
/// Threads take turns, so this is one.
inline unsigned atomicMax(unsigned* at, unsigned value) {
  const unsigned before = *at;
  *at = max(before, value);
  return before;
}
inline int cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t) {
  std::memset(to, value, bytes);
  return 0;
}

// A device of one processor that runs one block.
constexpr int cudaDevAttrMultiProcessorCount = 16;
inline int cudaGetDevice(int* device) { return *device = 0; }
inline int cudaDeviceGetAttribute(int* value, int, int) {
  *value = 1;
  return 0;
}
template <class Kernel>
int cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel, int, int) {
  *blocks = 1;
  return 0;
}

namespace titan::kernels::emulation {

enum class State { kReady, kAtBlock, kAtWarp, kDone };

struct Fiber {
  ucontext_t start;
  jmp_buf resume;
  bool started = false;
  unsigned turn = 0;  ///< shuffles so far
  State state = State::kReady;
  std::unique_ptr<char[]> stack;
};

constexpr unsigned kMaxThreads = 1024;

struct Machine {
  std::vector<Fiber> fibers;  ///< stay where they are: a context points into itself
  jmp_buf scheduler;
  unsigned current = 0;
  std::function<void()> body;
  std::uint32_t lanes[2][kMaxThreads];  ///< bits of what each thread gives to a shuffle, in turns
  Machine() { fibers.reserve(kMaxThreads); }
};
inline Machine& machine() {
  static Machine machine;
  return machine;
}

/// Goes on with a fiber until it waits. Jumps, as a swap of contexts is a system call or two.
[[gnu::noinline]] inline void run(Fiber& fiber) {
  if (_setjmp(machine().scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.resume, 1);
  fiber.started = true;
  setcontext(&fiber.start);
}

/// Leaves the fiber until the others have come here too.
[[gnu::noinline]] inline void wait(State state) {
  Machine& m = machine();
  Fiber& self = m.fibers[m.current];
  self.state = state;
  if (_setjmp(self.resume) == 0) _longjmp(m.scheduler, 1);
}

inline void run_fiber() {
  machine().body();
  wait(State::kDone);
}

inline void start_fiber(Fiber& fiber) {
  constexpr std::size_t kStackBytes = 64 * 1024;
  if (!fiber.stack) fiber.stack = std::make_unique<char[]>(kStackBytes);
  if (fiber.start.uc_stack.ss_sp == nullptr) {
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.get();
    fiber.start.uc_stack.ss_size = kStackBytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, run_fiber, 0);
  }
  fiber.started = false;
  fiber.turn = 0;
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
      run(m.fibers[t]);
      done += m.fibers[t].state == State::kDone ? 1 : 0;
    }
    if (done < threads && !release(threads)) {
      std::fputs("emulation: threads wait for others that never come\n", stderr);
      std::abort();
    }
  }
}

inline void launch(dim3 grid, unsigned threads, std::function<void()> body) {
  constexpr unsigned kMaxGridY = 65535;
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
/// Bits that the thread has given whose place in the warp differs in `mask`.
inline std::uint32_t exchange_bits(std::uint32_t bits, int mask) {
  using namespace titan::kernels::emulation;
  Machine& m = machine();
  const unsigned self = m.current;
  // Nobody writes here again before all have come to the next shuffle, so have read.
  std::uint32_t* lanes = m.lanes[m.fibers[self].turn++ % 2];
  lanes[self] = bits;
  wait(State::kAtWarp);
  return lanes[self ^ static_cast<unsigned>(mask)];
}
inline float __shfl_xor_sync(unsigned, float value, int mask) {
  return std::bit_cast<float>(exchange_bits(std::bit_cast<std::uint32_t>(value), mask));
}
inline unsigned __shfl_xor_sync(unsigned, unsigned value, int mask) {
  return exchange_bits(value, mask);
}
inline unsigned __reduce_max_sync(unsigned, unsigned value) {
  for (int mask = 16; mask > 0; mask /= 2) value = max(value, exchange_bits(value, mask));
  return value;
}
// NOLINTEND
