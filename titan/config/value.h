// value.h: turns a written value (TOML or command line) into a field of a settings struct, and back
// into text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/config/arg_table.h"
#include "titan/config/fields.h"

namespace titan::config {

/// Converts one item. Returns "" or what is wrong ("must be a whole number"); `out` is untouched on
/// failure.
std::string convert(const ArgScalar& item, bool& out);
std::string convert(const ArgScalar& item,
                    int64_t& out);  ///< also takes 3.0 and 1e4, where integral
std::string convert(const ArgScalar& item, double& out);       ///< refuses NaN and infinity
std::string convert(const ArgScalar& item, std::string& out);  ///< any text

/// Returns "" or the broken rule ("must be at least 1").
std::string check_rule(bool value, const FieldRule& rule);
/// "" or which rule is broken.
std::string check_rule(int64_t value, const FieldRule& rule);
/// Likewise.
std::string check_rule(double value, const FieldRule& rule);
/// Likewise.
std::string check_rule(const std::string& value, const FieldRule& rule);

/// Returns the rule in words, "at least 1", "one of a, b"; empty where everything is allowed.
std::string describe(const FieldRule& rule);

/// True for the text None, which unsets an optional.
bool is_none(const ArgValue& value);

/// Returns the items of a list; text that is no list is split at commas ("a,b", "[1, 2]", "" for
/// none).
std::vector<ArgScalar> list_items(const ArgValue& value);

/// Returns `value` as it was written, for messages.
std::string written(const ArgValue& value);

/// Returns the shortest decimal that reads back as the same double, with a point or an exponent.
std::string shortest(double value);

/// Sets `field` from `value`. Returns "" or the whole complaint, "must be at least 1 (given 0)";
/// the field is untouched then.
template <class T>
std::string assign(T& field, const ArgValue& value, const FieldRule& rule) {
  T converted{};
  std::string wrong = value.is_list || value.items.size() != 1
                          ? "must be one value, not a list"
                          : convert(value.items.front(), converted);
  if (wrong.empty()) wrong = check_rule(converted, rule);
  if (wrong.empty()) {
    field = converted;
    return "";
  }
  return wrong + " (given " + written(value) + ")";
}

/// None unsets it.
template <class T>
std::string assign(std::optional<T>& field, const ArgValue& value, const FieldRule& rule) {
  if (is_none(value)) {
    field.reset();
    return "";
  }
  T converted{};
  std::string wrong = assign(converted, value, rule);
  if (wrong.empty()) field = converted;
  return wrong;
}

/// The rule holds for every item.
template <class T>
std::string assign(std::vector<T>& field, const ArgValue& value, const FieldRule& rule) {
  std::vector<T> converted;
  for (const ArgScalar& item : list_items(value)) {
    T one{};
    std::string wrong = convert(item, one);
    if (wrong.empty()) wrong = check_rule(one, rule);
    if (!wrong.empty()) return "each item " + wrong + " (given " + written(value) + ")";
    converted.push_back(std::move(one));
  }
  field = std::move(converted);
  return "";
}

}  // namespace titan::config
