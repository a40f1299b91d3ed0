// run_info.h: run.json, what somebody needs to know about a run a year later. No torch.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "titan/base/rank_env.h"
#include "titan/base/status.h"
#include "titan/train/run_folder.h"

namespace titan {

struct RunInfo {
  std::vector<std::string> arguments;  ///< main's, without the program
  std::string description;
  std::string device;  ///< "cpu", "NVIDIA H200"
  std::string libtorch_version;
  RankEnv rank;
  std::uint64_t seed = 0;
  std::vector<int64_t> sample_shape;  ///< C, H, W of the data
  /// Sizes of every field of one sample; empty in a run.json from before there were such.
  std::map<std::string, std::vector<int64_t>> sample_fields;
  int64_t num_classes = 0;
  std::vector<std::string> class_names;
  int restarts = 0;  ///< attempts of this job before this one (MAX_RESTARTS)
};

/// Revision of the source this library was built from; "unknown" outside a git checkout.
std::string source_revision();
/// Version of this library: "0.1.0".
std::string source_version();
/// "titan 0.1.0 (4f0c6d1a2b3c)"
std::string version_line();

/// Writes run.json; rank 0 only.
Status write_run_info(const RunFolder& folder, const RunInfo& info);

/// The data's part of run.json, as `titan sample` needs it where the data itself is elsewhere.
StatusOr<RunInfo> read_run_info(const RunFolder& folder);

}  // namespace titan
