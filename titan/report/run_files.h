// run_files.h: everything a page shows of one run, from its folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/status.h"
#include "titan/report/run_records.h"
#include "titan/report/run_state.h"
#include "titan/report/sample_grids.h"
#include "titan/report/settings_difference.h"
#include "titan/report/time_shares.h"

namespace titan::report {

struct RunFiles {
  std::filesystem::path path;
  std::string name;  ///< the folder's
  RunState state = RunState::kEnded;
  std::string failure;         ///< of a failed run: why
  std::int64_t num_steps = 0;  ///< that the run is to make; 0 = unknown
  /// Of a run that goes on: seconds until its last step at the pace of its last half.
  std::optional<double> left_s;
  RunRecords records;
  std::vector<std::pair<std::string, std::string>> facts;  ///< of run.json, in its order
  std::optional<Settings> settings;                        ///< nothing: config.toml is missing
  std::optional<ExposedCommunication> exposed;
  std::vector<GridFile> grids;
  std::vector<std::string> notes;  ///< what is missing or damaged, one line each
};

/// Reads a run's folder in whatever state it is: what is missing or damaged becomes a note. Only a
/// folder that holds none of metrics.jsonl, run.json, config.toml and a lock is an error
/// (kNotFound, or kInvalidArgument where it is no folder).
StatusOr<RunFiles> read_run(const std::filesystem::path& path);

}  // namespace titan::report
