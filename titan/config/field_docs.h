// field_docs.h: the field lists as data, for printing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/config/job_config.h"
#include "titan/config/value.h"

namespace titan {

struct FieldDoc {
  std::string name;
  std::string type;   ///< "integer", "list of numbers", "text or None"
  std::string value;  ///< as TOML
  std::string rule;   ///< "at least 1"; empty = anything
  std::string help;
};

struct SectionDoc {
  std::string name;  ///< "training", "model.args"
  std::string help;
  std::vector<FieldDoc> fields;
};

namespace config {

/// Returns `text` as a TOML string with its quotes.
std::string quoted(const std::string& text);

inline std::string toml_of(bool value) { return value ? "true" : "false"; }
inline std::string toml_of(int64_t value) { return std::to_string(value); }
inline std::string toml_of(double value) { return shortest(value); }
inline std::string toml_of(const std::string& value) { return quoted(value); }
template <class T>
std::string toml_of(const std::optional<T>& value) {
  return value.has_value() ? toml_of(*value) : quoted("None");
}
template <class T>
std::string toml_of(const std::vector<T>& values) {
  std::string list;
  for (const T& value : values) list += (list.empty() ? "" : ", ") + toml_of(value);
  return "[" + list + "]";
}

inline std::string type_of(bool) { return "boolean"; }
inline std::string type_of(int64_t) { return "integer"; }
inline std::string type_of(double) { return "number"; }
inline std::string type_of(const std::string&) { return "text"; }
template <class T>
std::string type_of(const std::optional<T>&) {
  return type_of(T{}) + " or None";
}
template <class T>
std::string type_of(const std::vector<T>&) {
  return "list of " + type_of(T{}) + "s";
}

/// Visitor of visit_fields: appends each field's description.
struct FieldDescriber {
  std::vector<FieldDoc>& fields;

  template <class F>
  void operator()(const char* name, const F& field, const char* help, const FieldRule& rule = {}) {
    fields.push_back({name, type_of(field), toml_of(field), describe(rule), help});
  }
};

}  // namespace config

/// Describes a settings struct: its fields with `values` as the values, for example a model's
/// [model.args].
template <class T>
SectionDoc describe_section(const std::string& name, const std::string& help, T values) {
  SectionDoc section{name, help, {}};
  visit_fields(values, config::FieldDescriber{section.fields});
  return section;
}

/// Describes every section of `config` except [model.args].
std::vector<SectionDoc> describe_config(const JobConfig& config);

}  // namespace titan
