// command_line.h: the arguments of a program into settings, as torchtitan's command lines are
// written.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "titan/config/problem.h"
#include "titan/config/setting.h"

namespace titan::config {

/// What a key takes: a boolean may stand alone, a value needs one; of ignored and unknown keys
/// nothing is known.
enum class KeyKind : std::uint8_t { kUnknown, kIgnored, kBool, kValue };

struct CommandLine {
  std::vector<Setting> settings;
  std::vector<Problem> problems;
  std::string config;  ///< --config, --job.config_file; "" = not given
  bool help = false;
};

/// Parses `--section.key=value`, `--section.key value`, `--section.flag`, `--section.no-flag` (or
/// `--no-section.flag`); `-` and `_` are alike in names. A later option wins over an earlier one of
/// the same name.
CommandLine parse_command_line(const std::vector<std::string>& args,
                               const std::function<KeyKind(const std::string&)>& kind_of);

}  // namespace titan::config
