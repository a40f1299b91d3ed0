// toml_reader.h: TOML text into settings with their lines. The only user of toml++
// (toml_reader.cpp).
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/problem.h"
#include "titan/config/setting.h"

namespace titan::config {

struct TomlSettings {
  std::vector<Setting> settings;  ///< in order of their place in the file
  std::vector<Problem> problems;  ///< values of a kind that no setting has (dates, tables in lists)
  std::vector<std::pair<std::string, std::string>> sections;  ///< (name, place) of every table
};

/// Parses `text`. `file_name` is for places ("dit.toml:12"). Broken syntax and keys given twice are
/// kInvalidArgument with file and line.
StatusOr<TomlSettings> read_toml(const std::string& text, const std::string& file_name);

}  // namespace titan::config
