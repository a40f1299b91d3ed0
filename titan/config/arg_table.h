// arg_table.h: [model.args], settings whose field list only the model knows; decoded over a struct
// of defaults.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/fields.h"

namespace titan {

/// A value as it was written, with its place for messages. Text from the command line has no type
/// yet: `RawText`.
struct RawText {
  std::string text;  ///< as it was written
};
/// One value of a setting.
using ArgScalar = std::variant<bool, int64_t, double, std::string, RawText>;
/// A setting of [model.args]: its value and where it came from.
struct ArgValue {
  std::vector<ArgScalar> items;  ///< one item, or the items of a list
  bool is_list = false;          ///< written as a list
  std::string place;             ///< "dit.toml:12" or "command line"
};
/// By name.
using ArgTable = std::map<std::string, ArgValue>;

}  // namespace titan
