// retention.h: which checkpoints stay, and which can stand in for a damaged one.
#pragma once

#include <cstdint>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_folder.h"

namespace titan::checkpoint {

/// After checkpoint `newest` was written: hides later steps, from a course of the run that was
/// given up, and removes all but the latest `keep` (0 = keeps all). Failing to remove an old one is
/// worth a warning, not the run.
Status keep_latest(const CheckpointFolder& folder, int64_t newest, int64_t keep);

/// A damaged or missing file, not another mistake.
bool damaged(const Status& error);
/// `error` with the newest checkpoint before `step` that is whole; reads all of it.
Status advise_older(const CheckpointFolder& folder, const Status& error, int64_t step, int threads);

}  // namespace titan::checkpoint
