// adamw.h: AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) over a run of a flat buffer, in one
// pass; the arithmetic of one element is adamw_math.h. Weights are kept in one of three ways:
//
//   float32      4 bytes
//   pair         bfloat16 and the low 16 bits of the float32 value: the same updates to the bit.
//                The bfloat16 half is the weight rounded to nearest, halves away from zero (with
//                halves to even, 16 bits could not tell every float32 apart)
//   stochastic   bfloat16 alone; each update is rounded up or down at random, right on average
//                (Gupta et al. 2015, arXiv:1502.02551; Zamirai et al. 2020, arXiv:2010.06192)
//
// Moments are float32 or bfloat16, updated in float32. In bfloat16 exp_avg is rounded to nearest,
// exp_avg_sq at random: a step replaces (1 - beta2) of it, and above beta2 = 0.996 that is less
// than half of bfloat16's spacing: rounded to nearest, the moment would never fall again.
//
// Bytes an element: weight and moments are read and written, the gradient is read: 28 in float32;
// 10 of storage and 18 of traffic with a pair and everything else in bfloat16.
#pragma once

#include <cstdint>

#include "titan/kernels/storage.h"

struct CUstream_st;

namespace titan::kernels {

/// Pointers lie on the device that runs the update and need no alignment beyond their elements';
/// 16 bytes, and `first_element` a multiple of 8, are what a GPU's wide accesses want.
struct AdamWRun {
  std::int64_t count = 0;
  void* weight = nullptr;
  StorageType weight_type = StorageType::kFloat32;
  std::uint16_t* remainder = nullptr;  ///< bfloat16 weights: null = stochastic
  const void* grad = nullptr;
  StorageType grad_type = StorageType::kFloat32;
  void* exp_avg = nullptr;
  void* exp_avg_sq = nullptr;
  StorageType state_type = StorageType::kFloat32;

  float* average = nullptr;               ///< running average of the weights; null = none
  const float* average_weight = nullptr;  ///< [1] share of the new weights; 0 leaves the average
  std::uint16_t* copy = nullptr;  ///< float32 weights in bfloat16 (nearest, even); null = none

  const float* step = nullptr;  ///< [1] this update's number, 1, 2, ...
  const float* lr = nullptr;    ///< [1]
  const float* clip = nullptr;  ///< [1] what gradients are multiplied with; null = 1
  const float* skip = nullptr;  ///< [1] 1: nothing but the average changes; null = 0
  double beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0;

  std::uint64_t key = 0;           ///< philox_key(seed, purpose) of the random roundings
  std::uint64_t stream = 0;        ///< tells buffers apart
  std::int64_t first_element = 0;  ///< number of the first element in its buffer; below 2^35
};

/// On OpenMP's threads. The same bits on any number of threads and for every instruction set.
void adamw_cpu(const AdamWRun& run);
/// Enqueues one kernel. The bits of adamw_cpu, but for the two powers of beta (float64, rounded by
/// another library).
void adamw_cuda(const AdamWRun& run, CUstream_st* stream);

}  // namespace titan::kernels
