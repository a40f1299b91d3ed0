// config: settings as plain structs, TOML and command line. No torch here; toml++ stays in
// loader.cpp.
//
// fields.h: the visitor contract. A settings struct lists each field once, with name, help and
// rule; loading, printing, --help and docs/config.md are visitors over that one list.
//
//   struct AdamConfig { double lr = 8e-4; };
//   template <class V> void visit_fields(AdamConfig& c, V&& v) {
//     v("lr", c.lr, "learning rate", rule::above(0));
//   }
//
// Field types: bool, int64_t, double, std::string, std::optional of these, std::vector<std::string
// | int64_t | double>.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace titan {

/// What a value must satisfy, checked when a config is loaded. The default accepts every finite
/// number and any text.
struct FieldRule {
  double min = -std::numeric_limits<double>::infinity();  ///< smallest
  double max = std::numeric_limits<double>::infinity();   ///< largest
  bool min_exclusive = false;                             ///< the smallest itself is not allowed
  bool max_exclusive = false;                             ///< the largest itself is not allowed
  std::vector<std::string> choices = {};  ///< for text: the allowed values; empty = any
};

namespace rule {
/// Every finite number, any text.
inline FieldRule any() { return {}; }
/// min or more.
inline FieldRule at_least(double min) { return {.min = min}; }
/// More than min.
inline FieldRule above(double min) { return {.min = min, .min_exclusive = true}; }
/// Both ends allowed.
inline FieldRule between(double min, double max) { return {.min = min, .max = max}; }
/// One of these texts.
inline FieldRule one_of(std::vector<std::string> choices) {
  return {.choices = std::move(choices)};
}
}  // namespace rule

}  // namespace titan
