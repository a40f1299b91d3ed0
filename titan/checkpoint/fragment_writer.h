// fragment_writer.h: one rank's file of a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_index.h"
#include "titan/checkpoint/checkpoint_reader.h"

namespace titan::checkpoint {

/// Writes the items' fragments as 1-D tensors to `folder`/`file`, durably. Returns an index of this
/// file alone (without meta). No items: no file. One fragment's bytes are copied to the CPU at a
/// time.
StatusOr<CheckpointIndex> write_fragments(const std::string& folder, const std::string& file,
                                          const std::vector<CheckpointItem>& items);

}  // namespace titan::checkpoint
