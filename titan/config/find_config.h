// find_config.h: from the name of a config to its file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::config {

/// Returns the folders in which shipped configs are looked up: ./train_configs, then those beside
/// the source tree, beside the executable (build tree, bundle, installation) and beside
/// libtitan.so.
std::vector<std::filesystem::path> train_config_folders();

/// Finds `name`: a path, or a file of `folders`, each with or without ".toml". kInvalidArgument
/// names the nearest config and the folders searched.
StatusOr<std::filesystem::path> find_config(const std::string& name,
                                            const std::vector<std::filesystem::path>& folders);

}  // namespace titan::config
