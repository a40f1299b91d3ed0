// stream_copy.h: copying out of mapped files into memory that is not read soon. No torch.
#pragma once

#include <cstddef>

namespace titan::checkpoint {

/// memcpy whose stores pass by the caches (AVX2 where the processor has it): the target's old
/// contents are not fetched, and what is hashed next from `from` stays in the cache. 1.15x memcpy
/// here (docs/results/checkpoint_io.md).
void stream_copy(std::byte* to, const std::byte* from, std::size_t size);

}  // namespace titan::checkpoint
