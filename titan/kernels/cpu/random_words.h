// random_words.h: many Philox blocks at once, for kernels that need random bits along the way.
#pragma once

#include <cstdint>

namespace titan::kernels::cpu {

/// What all blocks share: philox4x32(key, block, sample, epoch) of base/philox.h.
struct PhiloxCounter {
  std::uint64_t key = 0;
  std::uint64_t sample = 0;
  std::uint32_t epoch = 0;
};

/// Blocks are drawn in batches of so many, four words each.
inline constexpr std::int64_t kPhiloxBatch = 16;
inline constexpr std::int64_t kPhiloxBatchWords = 4 * kPhiloxBatch;

/// Words of the blocks first, first + 1, ..., block after block: out[batches * kPhiloxBatchWords].
/// The same for every instruction set.
void random_words(const PhiloxCounter& counter, std::uint32_t first, std::int64_t batches,
                  std::uint32_t* out);

}  // namespace titan::kernels::cpu
