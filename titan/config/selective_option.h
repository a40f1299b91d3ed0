// selective_option.h: what activation_checkpoint.selective_ac_option may say.
#pragma once

#include <cstdint>
#include <string>

#include "titan/base/status.h"

namespace titan {

struct SelectiveOption {
  int64_t every = 0;  ///< every n-th block; 0 = per operation ("op")
};

/// "op", or a whole number of at least 1.
StatusOr<SelectiveOption> parse_selective_option(const std::string& text);

}  // namespace titan
