// loader.h: the config of a run: defaults, then a TOML file, then the command line.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/job_config.h"

namespace titan {

struct LoadOptions {
  /// Used where neither the command line nor CONFIG or CONFIG_FILE names a config; empty = defaults
  /// alone.
  std::string default_config = {};
  /// Searched before config::train_config_folders().
  std::vector<std::filesystem::path> config_folders = {};
};

struct LoadedConfig {
  JobConfig config;
  std::vector<std::string> warnings;    ///< one line each: foreign keys, doubtful settings
  bool help_requested = false;          ///< then problems are dropped: show the help and exit 0
  std::string config_name = "default";  ///< stem of the file; names the run folder
  std::map<std::string, std::string>
      mapped;  ///< by key: "/dataset/coco is /scratch/coco" (mounted_folders.h)
  std::map<std::string, std::string>
      origin;  ///< "training.steps" -> "dit.toml:12"; absent = default
};

/// Loads a config. `args` are main's without argv[0]. Afterwards job.config_file is the path that
/// was read and job.dump_folder is never empty. All problems (unknown keys with the nearest match,
/// wrong types, broken rules, validate()) are reported at once as kInvalidArgument, one line each
/// with file and line.
StatusOr<LoadedConfig> load_config(const std::vector<std::string>& args,
                                   const LoadOptions& options = {});

}  // namespace titan
