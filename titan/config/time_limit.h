// time_limit.h: a length of time as people write it for a cluster.
#pragma once

#include <cstdint>
#include <string>

#include "titan/base/status.h"

namespace titan {

/// Seconds of "90", "2:30:00" (hours:minutes:seconds) or "1-12:00:00" (days in front). An error for
/// anything else, and for minutes or seconds above 59; with days, for hours above 23.
StatusOr<std::int64_t> parse_time_limit(const std::string& text);

}  // namespace titan
