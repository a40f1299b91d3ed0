// A block of elements at a time: what is not float32 is widened into buffers that stay in the
// first-level cache, updated there and narrowed again, so that one loop serves every storage.
#include "titan/kernels/adamw.h"

#include <cstring>

#include "titan/kernels/adamw_math.h"
#include "titan/kernels/cpu/random_words.h"
#include "titan/kernels/cpu/simd.h"

namespace titan::kernels::cpu {
namespace {

constexpr int64_t kElementsPerTask = 16 * 1024;
constexpr int64_t kBlock = 1024;
constexpr int64_t kPerPhilox = 8;  // elements whose sixteen bits one block gives
constexpr int64_t kPerBatch = kPhiloxBatch * kPerPhilox;
constexpr int64_t kBatches = kBlock / kPerBatch + 2;  // what may start inside a block

struct AdamWArgs {
  const AdamWRun* run;
  AdamWFactors factors;
  float step;
  bool skip;
  float average_weight;
};

struct Buffers {
  alignas(64) float weight[kBlock], grad[kBlock], first[kBlock], second[kBlock];
  std::uint16_t random[kBatches * kPerBatch];
};

/// Sixteen random bits for each of `count` elements from `at` on; they lie in the buffer.
const std::uint16_t* draw(const AdamWArgs& args, AdamWRounding rounding, int64_t at, int64_t count,
                          Buffers& buffers) {
  alignas(64) std::uint32_t words[kBatches * kPhiloxBatchWords];
  const int64_t element = args.run->first_element + at;
  const int64_t start = element % kPerPhilox;
  const int64_t batches = (start + count + kPerBatch - 1) / kPerBatch;
  random_words({args.run->key, args.run->stream, adamw_epoch(args.step, rounding)},
               static_cast<std::uint32_t>(element / kPerPhilox), batches, words);
  std::memcpy(buffers.random, words, static_cast<std::size_t>(batches * kPhiloxBatchWords) * 4);
  return buffers.random + start;
}

/// Asks for the same array's elements of the next block: a block is too short for the processor to
/// see a stream in it, and its memory arrives while this one is computed.
TITAN_INLINE void ask_ahead(const std::uint16_t* from) {
  constexpr int64_t kLine = 64 / sizeof(std::uint16_t);
  for (int64_t i = kBlock; i < 2 * kBlock; i += kLine) __builtin_prefetch(from + i, 1, 2);
}

TITAN_INLINE void widen(const std::uint16_t* from, float* to, std::int64_t count) {
  ask_ahead(from);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) to[i] = bfloat16_value(from[i]);
}
TITAN_INLINE void narrow(const float* from, std::uint16_t* to, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) to[i] = nearest_bfloat16(from[i]);
}
TITAN_INLINE void narrow_at_random(const float* from, const std::uint16_t* random,
                                   std::uint16_t* to, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) to[i] = stochastic_bfloat16(from[i], random[i]);
}
TITAN_INLINE void join(const std::uint16_t* high, const std::uint16_t* low, float* to,
                       std::int64_t count) {
  ask_ahead(high);
  ask_ahead(low);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) to[i] = pair_value(high[i], low[i]);
}
TITAN_INLINE void split(const float* from, std::uint16_t* high, std::uint16_t* low,
                        std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t bits = plain_bits(from[i]);
    high[i] = pair_high(bits);
    low[i] = static_cast<std::uint16_t>(bits);
  }
}

/// Weights as float32: in place, or in the buffer.
TITAN_INLINE float* load_weights(const AdamWRun& run, std::int64_t at, std::int64_t count,
                                 Buffers& buffers) {
  if (run.weight_type == StorageType::kFloat32) return static_cast<float*>(run.weight) + at;
  const std::uint16_t* high = static_cast<const std::uint16_t*>(run.weight) + at;
  if (run.remainder != nullptr) {
    join(high, run.remainder + at, buffers.weight, count);
  } else {
    widen(high, buffers.weight, count);
  }
  return buffers.weight;
}
TITAN_INLINE void store_weights(const AdamWArgs& args, std::int64_t at, std::int64_t count,
                                Buffers& buffers) {
  const AdamWRun& run = *args.run;
  std::uint16_t* high = static_cast<std::uint16_t*>(run.weight) + at;
  if (run.remainder != nullptr) {
    split(buffers.weight, high, run.remainder + at, count);
  } else {
    narrow_at_random(buffers.weight, draw(args, AdamWRounding::kWeight, at, count, buffers), high,
                     count);
  }
}

/// The average and the copy follow from the stored weights: those that the model computes with.
TITAN_INLINE void follow(const AdamWArgs& args, std::int64_t at, std::int64_t count,
                         Buffers& buffers) {
  const AdamWRun& run = *args.run;
  const bool averages = run.average != nullptr && args.average_weight != 0.0F;
  if (!averages && (run.copy == nullptr || args.skip)) return;
  const float* weight = load_weights(run, at, count, buffers);
  if (averages) {
    float* average = run.average + at;
    const float share = args.average_weight;
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) average[i] = blend(average[i], weight[i], share);
  }
  if (run.copy != nullptr && !args.skip) narrow(weight, run.copy + at, count);
}

template <class T>
TITAN_INLINE void update(const AdamWArgs& args, std::int64_t at, std::int64_t count,
                         Buffers& buffers) {
  constexpr bool wide_state = std::is_same_v<T, float>;
  const AdamWRun& run = *args.run;
  float* weight = load_weights(run, at, count, buffers);
  const float* grad = static_cast<const float*>(run.grad) + at;
  if (run.grad_type == StorageType::kBFloat16) {
    widen(static_cast<const std::uint16_t*>(run.grad) + at, buffers.grad, count);
    grad = buffers.grad;
  }
  float *first = buffers.first, *second = buffers.second;
  if constexpr (wide_state) {
    first = static_cast<float*>(run.exp_avg) + at;
    second = static_cast<float*>(run.exp_avg_sq) + at;
  } else {
    widen(static_cast<std::uint16_t*>(run.exp_avg) + at, first, count);
    widen(static_cast<std::uint16_t*>(run.exp_avg_sq) + at, second, count);
  }
  const AdamWFactors factors = args.factors;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i)
    adamw_element(factors, grad[i], weight[i], first[i], second[i]);
  if constexpr (!wide_state) {
    narrow(first, static_cast<std::uint16_t*>(run.exp_avg) + at, count);
    narrow_at_random(second, draw(args, AdamWRounding::kSecondMoment, at, count, buffers),
                     static_cast<std::uint16_t*>(run.exp_avg_sq) + at, count);
  }
  if (run.weight_type != StorageType::kFloat32) store_weights(args, at, count, buffers);
}

template <class T>
TITAN_INLINE void adamw_body(const AdamWArgs& args, int64_t task) {
  Buffers buffers;
  const std::int64_t begin = task * kElementsPerTask;
  const std::int64_t rest = args.run->count - begin;
  const std::int64_t end = begin + (rest < kElementsPerTask ? rest : kElementsPerTask);
  for (std::int64_t at = begin; at < end; at += kBlock) {
    const std::int64_t count = end - at < kBlock ? end - at : kBlock;
    if (!args.skip) update<T>(args, at, count, buffers);
    follow(args, at, count, buffers);
  }
}
TITAN_VERSIONS(adamw, AdamWArgs)

}  // namespace
}  // namespace titan::kernels::cpu

namespace titan::kernels {

void adamw_cpu(const AdamWRun& run) {
  const cpu::AdamWArgs args{
      &run,
      adamw_factors(*run.step, *run.lr, run.clip != nullptr ? *run.clip : 1.0F, run.beta1,
                    run.beta2, run.eps, run.weight_decay),
      *run.step, run.skip != nullptr && *run.skip != 0.0F,
      run.average_weight != nullptr ? *run.average_weight : 0.0F};
  const int64_t tasks = (run.count + cpu::kElementsPerTask - 1) / cpu::kElementsPerTask;
  cpu::run_tasks(tasks, run.count > cpu::kParallelElements, cpu::adamw_for(run.state_type), args);
}

}  // namespace titan::kernels
