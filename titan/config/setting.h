// setting.h: one written setting, before it is known whether such a field exists.
#pragma once

#include <string>
#include <vector>

#include "titan/config/arg_table.h"

namespace titan::config {

inline const std::string kModelArgs = "model.args.";

struct Setting {
  std::string key;  ///< dotted: "training.steps", "model.args.dim"
  ArgValue value;
};

/// True for "model.args.dim": only the model knows whether that field exists.
inline bool is_model_arg(const std::string& key) { return key.rfind(kModelArgs, 0) == 0; }

}  // namespace titan::config
