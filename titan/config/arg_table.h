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
  std::string text;
};
using ArgScalar = std::variant<bool, int64_t, double, std::string, RawText>;
struct ArgValue {
  std::vector<ArgScalar> items;  ///< one item, or the items of a list
  bool is_list = false;
  std::string place;  ///< "dit.toml:12" or "command line"
};
using ArgTable = std::map<std::string, ArgValue>;

}  // namespace titan
