// failure_cause.h: why a run failed, from what its folder holds.
#pragma once

#include <filesystem>
#include <string>

#include "titan/report/run_records.h"

namespace titan::report {

/// Each one line, or empty where it does not tell.
///
/// By the event "failed" that ends metrics.jsonl.
std::string noted_cause(const RunRecords& records);
/// By a trace in the folder `trace` (of a stall, of another rank's failure) whose last step the
/// records do not go beyond.
std::string traced_cause(const RunRecords& records, const std::filesystem::path& trace);

}  // namespace titan::report
