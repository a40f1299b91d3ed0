// numpy_permutation.h: NumPy's legacy random order, in which the reference drew its subset of COCO.
#pragma once

#include <cstdint>
#include <vector>

namespace titan::tools {

/// numpy.random.RandomState(seed).permutation(n): the numbers 0 to n - 1. n <= 2^32.
///
/// The Mersenne Twister MT19937 (Matsumoto & Nishimura 1998, ACM TOMACS 8:1, as std::mt19937) seeds
/// itself by the same recurrence; a Fisher-Yates shuffle from the end takes each index by masking
/// 32-bit draws and rejecting those that are too large.
std::vector<int64_t> numpy_permutation(int64_t n, std::uint32_t seed);

}  // namespace titan::tools
