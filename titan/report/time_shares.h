// time_shares.h: what a run spent its time on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "titan/report/run_records.h"

namespace titan::report {

/// Communication that steps waited for, from the trace files of a run.
struct ExposedCommunication {
  double share = 0;  ///< of the traced steps' time, in 0..1
  int ranks = 0;     ///< whose traces were read
  std::int64_t first_step = 0, last_step = 0;
};

/// Reads trace/rank-00000.json and its kin: at most 64 ranks, spread over all. Nothing where no
/// finished step was traced; files that cannot be read are named in `notes`.
std::optional<ExposedCommunication> read_exposed_communication(const std::filesystem::path& folder,
                                                               std::vector<std::string>& notes);

/// Seconds by name, in the order of display: "compute", "data wait", "exposed communication" (the
/// traced steps' share of all steps), "evaluation", "checkpoints", "sampling".
std::vector<std::pair<std::string, double>> time_shares(
    const RunRecords& records, const std::optional<ExposedCommunication>& exposed);

}  // namespace titan::report
