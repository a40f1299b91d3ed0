// host_reduce.h: sums and extremes of numbers in host memory, for collectives.
#pragma once

#include <cstdint>
#include <vector>

#include <c10/core/ScalarType.h>

#include "titan/parallel/communicator.h"

namespace titan::parallel {

/// Whether host_reduce knows the type: float32, float64, bfloat16, float16, int32, int64.
bool can_reduce(c10::ScalarType type);

/// out[i] = parts[0][i] op parts[1][i] op ..., from the first to the last, for i < count. Sums of
/// 16-bit numbers are taken in float32 and rounded once. A NaN wins. `out` may be one of the parts;
/// `copy`, if not null, is given the same.
void host_reduce(Reduction reduction, c10::ScalarType type,
                 const std::vector<const std::byte*>& parts, std::int64_t count, std::byte* out,
                 std::byte* copy);

}  // namespace titan::parallel
