// field_table.h: the fields of settings structs by dotted name, each with a setter that checks its
// rule.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "titan/config/arg_table.h"
#include "titan/config/job_config.h"
#include "titan/config/problem.h"
#include "titan/config/value.h"

namespace titan::config {

/// A field and how it is set.
struct FieldBinding {
  std::function<std::string(const ArgValue&)> assign;  ///< "" or what is wrong
  bool is_bool = false;                                ///< may stand without a value
};
/// By dotted name.
using FieldTable = std::map<std::string, FieldBinding>;

/// Visitor of visit_fields: enters each field as prefix + name. The table must not outlive the
/// struct.
struct FieldBinder {
  FieldTable& table;   ///< that is filled
  std::string prefix;  ///< with its dot: "training."

  /// Enters one field; visit_fields calls it.
  template <class F>
  void operator()(const char* name, F& field, const char* /*help*/, const FieldRule& rule = {}) {
    FieldBinding& binding = table[prefix + name];
    binding.assign = [&field, rule](const ArgValue& value) { return assign(field, value, rule); };
    binding.is_bool = std::is_same_v<F, bool>;
  }
};

/// Returns all fields of `config` except [model.args]. The table points into `config`.
FieldTable bind_fields(JobConfig& config);

/// Returns "unknown key; did you mean training.steps?".
std::string unknown_key_text(const std::string& key, const std::vector<std::string>& known);

/// Sets the fields of `table` (named "model.args.<name>") from `args`; reports all problems at
/// once.
Status apply_args(const ArgTable& args, const FieldTable& table);

}  // namespace titan::config
