// trace_file.h: a trace on disk, for programs and for eyes. No torch.
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/base/trace.h"

namespace titan::metrics {

struct TraceOwner {
  int rank = 0;
  std::vector<std::string> units = {};  ///< names of the model's units, by number
};

/// One object: {"rank", "reason", "steps": [{"step", "seconds", "exposed_s", "events": [{"name",
/// "lane", "unit", "bytes", "start_us", "us"}]}]}; times count from the start of the step.
std::string trace_json(const Trace& trace, const TraceOwner& owner, const std::string& reason);

/// The format of chrome://tracing and Perfetto: a process a rank, a row for the training thread and
/// rows for collectives.
std::string chrome_trace_json(const Trace& trace, const TraceOwner& owner);

/// Writes `folder`/rank-00000.json and rank-00000.chrome.json. `reason`: why it is written.
Status write_trace(const Trace& trace, const TraceOwner& owner, const std::string& folder,
                   const std::string& reason);

}  // namespace titan::metrics
