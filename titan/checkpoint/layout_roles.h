// layout_roles.h: who writes what, where several ranks hold the same (replicas), and who verifies
// what they all read.
#pragma once

#include <cstdint>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_item.h"
#include "titan/checkpoint/file_reader.h"
#include "titan/checkpoint/rank_group.h"

namespace titan::checkpoint {

struct LayoutRoles {
  std::vector<bool> writes;      ///< per item: no lower rank holds the same fragments
  bool first_writes_all = true;  ///< no other rank writes anything
  /// Ranks of one host that hold the same read the same: they share the hashing.
  VerifyShare verify = {};
};

/// Collective: the ranks compare what they hold. With replication alone rank 0 writes everything;
/// with sharding and replicas (HSDP) the first replica of each shard does. `host` names this
/// machine.
StatusOr<LayoutRoles> find_roles(const std::vector<CheckpointItem>& items, const RankGroup& ranks,
                                 const std::string& host);

/// This machine's name, and what tells two of one name apart (the kernel's boot id).
std::string host_identity();

}  // namespace titan::checkpoint
