// shared_folder.h: does every rank see the folder that rank 0 writes to? No torch.
#pragma once

#include <string>

#include "titan/base/status.h"
#include "titan/checkpoint/rank_group.h"

namespace titan::checkpoint {

/// Collective: rank 0 writes a probe file with a random name, the others look for it (for a few
/// seconds: network file systems may be late). kFailedPrecondition names the ranks and hosts that
/// do not see it, and what to do. Does nothing for a single rank.
Status check_shared(const std::string& folder, const RankGroup& ranks);

}  // namespace titan::checkpoint
