// empty_encodings_writer.h: the encodings of the empty prompt, as training reads them
// (data/empty_encodings.h).
#pragma once

#include <string>

#include "titan/base/status.h"
#include "titan/data/batch.h"

namespace titan::preprocess {

/// Writes t5_empty.npy (1, L, d) and clip_empty.npy (1, d), float16, from the fields t5_encodings
/// and clip_encodings [1, ...] of the empty prompt. Files that are there already stay where they
/// hold the same but for rounding (another device, another batch); kFailedPrecondition where they
/// hold something else.
Status write_empty_encodings(const std::string& folder, const NamedTensors& fields);

}  // namespace titan::preprocess
