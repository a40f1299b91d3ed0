// aliases.h: keys of torchtitan's and TorchDiTan's own TOML files that are called otherwise here,
// or have no meaning here. Both load with one warning a key; any other unknown key is an error.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "titan/config/setting.h"

namespace titan::config {

/// A foreign key and its name here. `values` translates single values; an empty translation leaves
/// the default. With from == to only values are translated.
struct Alias {
  std::string from;
  std::string to;
  std::vector<std::pair<std::string, std::string>> values = {};
  /// Turns what another foreign key sets on and off: "false" wins over that key wherever it stands,
  /// until "true" or a key of our own follows.
  bool is_switch = false;
};
const std::vector<Alias>& aliases();

/// Keys that are read and dropped. `prefix.*` stands for the whole section.
struct InertKeys {
  std::string section;
  std::vector<std::string> keys;
};
const std::vector<InertKeys>& inert_keys();
bool is_inert(const std::string& key);

/// Returns the entry for `key`, or nullptr.
const Alias* find_alias(const std::string& key);

/// What became of a foreign setting.
struct Translation {
  bool keep = true;     ///< false: dropped
  std::string warning;  ///< empty: the setting was not foreign
};
/// Renames `setting` and translates its value in place.
Translation translate(Setting& setting);

}  // namespace titan::config
