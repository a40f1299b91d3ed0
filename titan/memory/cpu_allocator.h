// cpu_allocator.h: a caching CPU allocator behind LibTorch. glibc returns large blocks to the
// kernel at every free and faults them in again at the next step (a fifth of a DiT step); here they
// are kept. It also gives exact peak figures, which LibTorch has for devices only.
#pragma once

#include <optional>

#include "titan/memory/memory_stats.h"

namespace titan::memory {

/// Makes LibTorch's CPU tensors come from the caching allocator; call before the first tensor.
/// Blocks are aligned to 64 bytes, may be freed from any thread, and the allocator is never
/// destroyed. A block that cannot be had throws titan::Error with the figures. Returns whether it
/// is in use: not where the environment says TITAN_CPU_CACHE=0. Calling again changes nothing.
bool install_cpu_allocator();

/// Exact figures since the start; nothing where the allocator is not installed.
std::optional<MemoryStats> cpu_memory_stats();
/// Peaks start again from what is in use now.
void reset_cpu_memory_peak();
/// Returns cached memory to the system; gives the bytes returned.
std::size_t release_cpu_cache();

}  // namespace titan::memory
