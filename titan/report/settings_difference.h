// settings_difference.h: what was set differently in several runs.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/status.h"

namespace titan::report {

/// "training.steps" -> "100", as written in a run's config.toml.
using Settings = std::map<std::string, std::string>;

/// Reads the text of a resolved config.toml; `name` is for messages. kInvalidArgument where it is
/// no TOML.
StatusOr<Settings> parse_settings(const std::string& text, const std::string& name);

/// A key and its value in each run; "" where a run does not have it.
struct SettingRow {
  std::string key;
  std::vector<std::string> values;
};
/// The keys that are not the same in all `runs`, in alphabetical order. Runs without settings
/// (their config.toml is missing) are given as null and have no say.
std::vector<SettingRow> settings_difference(const std::vector<const Settings*>& runs);

}  // namespace titan::report
