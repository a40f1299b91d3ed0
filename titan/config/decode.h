// decode.h: [model.args] into the model's own settings struct.
#pragma once

#include "titan/base/status.h"
#include "titan/config/arg_table.h"
#include "titan/config/field_table.h"

namespace titan {

/// Returns `values` (the flavor's settings) with every entry of `args` written over it. T has
/// visit_fields (fields.h). Unknown names, wrong types and broken rules are all reported at once,
/// as kInvalidArgument.
template <class T>
StatusOr<T> decode_args(const ArgTable& args, T values) {
  config::FieldTable table;
  visit_fields(values, config::FieldBinder{table, "model.args."});
  TITAN_RETURN_IF_ERROR(config::apply_args(args, table));
  return values;
}

}  // namespace titan
