// find_bad_state.h: how far a search for bad rows has come, in a file that a killed process leaves.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::tools {

struct BadRow {
  int64_t index = 0;
  std::string name;   ///< tar and key
  std::string cause;  ///< empty: the row is good
};

struct FindBadState {
  std::string fingerprint;       ///< of the input
  int64_t next = 0;              ///< the first row not searched yet
  std::vector<BadRow> bad = {};  ///< ascending
};

/// The stored state; one that has done nothing where there is none. kFailedPrecondition where it is
/// of another input, kDataLoss where it does not parse: the message names the file to remove.
StatusOr<FindBadState> load_state(const std::string& path, const std::string& fingerprint);

/// Atomic and durable.
Status save_state(const std::string& path, const FindBadState& state);

}  // namespace titan::tools
