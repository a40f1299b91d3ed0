// replay_compare.h: the folders of two replays of a step, side by side. No torch.
#pragma once

#include <string>

#include "titan/base/status.h"
#include "titan/tools/replay_request.h"

namespace titan {

/// Compares the files of two replays rank by rank; prints what it finds. Whether all are equal.
StatusOr<bool> compare_replays(const std::string& a, const std::string& b);

/// Whether a replay of `request` can be compared with what --against names, whatever it computes:
/// every rank's file can be read, and is of this step and sample. Fine without --against.
Status check_comparable(const ReplayRequest& request, int world_size);

}  // namespace titan
