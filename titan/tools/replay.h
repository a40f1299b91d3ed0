// replay.h: runs one past step of a run again, bit for bit, and says what every block computed.
#pragma once

#include <string>
#include <vector>

namespace titan {

/// titan replay RUN --step N: see --help. Exit codes: 0 done (and, where two steps are compared,
/// equal), 1 they differ or a failure, 2 bad input.
int replay_main(const std::vector<std::string>& args);

}  // namespace titan
