// finite_copy.h: looks for values that are not finite, alone or while copying. bfloat16.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace titan {

/// Where the first value of `values` that is not finite lies (an element's index). A last odd byte
/// is not looked at.
std::optional<std::size_t> find_not_finite(std::span<const std::byte> values);

/// Copies `values` to `to` and looks at them in the same pass; the result is find_not_finite's.
/// Where a value is found, what `to` then holds is undefined. Large arrays are written around the
/// caches, which do not hold a batch anyway: the lines of `to` need not be read first, and what the
/// step works on stays cached. The ranges must not overlap.
std::optional<std::size_t> copy_finite(std::span<const std::byte> values, std::byte* to);

}  // namespace titan
