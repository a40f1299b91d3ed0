// philox.h: counter-based random fields, many elements of many samples at once (the rule:
// base/philox.h).
//
//   element i of a sample: block i / 4 of Philox4x32-10 with counter (block, sample, epoch), word i
//   % 4 kUniform: (word / 2^9 + 1/2) / 2^23, exact in float32, so equal to the bit everywhere
//   kNormal:  Box-Muller on words (0, 1) and (2, 3); logarithm and cosine differ by rounding
//   between CPU and CUDA
//
// Writes 4 bytes an element and reads 16 a sample. No alignment rule.
#pragma once

#include <cstdint>

struct CUstream_st;

namespace titan::kernels {

enum class RandomField : int { kUniform = 0, kNormal = 1 };

/// Fills out[0, count) with elements first_element, first_element + 1, ... of one sample on the
/// calling thread. `key` is philox_key(seed, purpose). The same bits on every CPU: vector and plain
/// code paths round alike.
void philox_fill_cpu(RandomField field, std::uint64_t key, std::int64_t sample, std::int64_t epoch,
                     std::int64_t first_element, std::int64_t count, float* out);

/// Fills out [num_samples, elements] from element 0; `sample` and `epoch` [num_samples] lie on the
/// device. One thread per four elements, 256 threads a block.
void philox_fill_cuda(RandomField field, std::uint64_t key, const std::int64_t* sample,
                      const std::int64_t* epoch, std::int64_t num_samples, std::int64_t elements,
                      float* out, CUstream_st* stream);

}  // namespace titan::kernels
