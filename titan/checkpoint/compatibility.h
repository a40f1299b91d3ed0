// compatibility.h: may this run go on from that checkpoint?
#pragma once

#include <map>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_index.h"

namespace titan::checkpoint {

/// Refuses (kFailedPrecondition) every fingerprint that differs and is not in `allow_change`, all
/// by name with both values, and says how to allow them. A name in `allow_change` that is no
/// fingerprint is kInvalidArgument.
Status check_compatible(const CheckpointMeta& saved,
                        const std::map<std::string, std::string>& current,
                        const std::vector<std::string>& allow_change);

}  // namespace titan::checkpoint
