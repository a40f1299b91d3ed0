#include "titan/config/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "titan/config/nearest.h"

namespace titan::config {
namespace {

constexpr double kLargestExactInteger = 9007199254740992.0;  // 2^53: above it doubles skip integers
constexpr std::size_t kLongestShown = 80;

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Reads all of `text` as a number; a leading plus is allowed.
template <class T>
bool read_number(const std::string& text, T& out) {
  const std::string digits = trimmed(text);
  const bool plus = digits.size() > 1 && digits[0] == '+' && digits[1] != '-';
  const char* begin = digits.data() + (plus ? 1 : 0);
  const char* end = digits.data() + digits.size();
  T value{};
  const std::from_chars_result read = std::from_chars(begin, end, value);
  if (read.ec != std::errc() || read.ptr != end) return false;
  out = value;
  return true;
}

std::string number_text(double value) {
  const bool integral = std::abs(value) < kLargestExactInteger && value == std::floor(value);
  return integral ? std::to_string(static_cast<int64_t>(value)) : shortest(value);
}

std::string shown(const std::string& text) {
  return text.size() <= kLongestShown ? text : text.substr(0, kLongestShown) + "...";
}

struct Written {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return shortest(value); }
  std::string operator()(const std::string& value) const { return '"' + shown(value) + '"'; }
  std::string operator()(const RawText& value) const {
    return value.text.empty() ? "\"\"" : shown(value.text);
  }
};

}  // namespace

std::string convert(const ArgScalar& item, bool& out) {
  if (const bool* value = std::get_if<bool>(&item)) {
    out = *value;
    return "";
  }
  if (const RawText* raw = std::get_if<RawText>(&item)) {
    const bool yes = raw->text == "true" || raw->text == "True";
    const bool no = raw->text == "false" || raw->text == "False";
    if (yes || no) {
      out = yes;
      return "";
    }
  }
  return "must be true or false";
}

std::string convert(const ArgScalar& item, int64_t& out) {
  const RawText* raw = std::get_if<RawText>(&item);
  if (const int64_t* value = std::get_if<int64_t>(&item)) {
    out = *value;
    return "";
  }
  if (raw != nullptr && read_number(raw->text, out)) return "";
  double real = 0;
  const double* value = std::get_if<double>(&item);
  const bool number = value != nullptr || (raw != nullptr && read_number(raw->text, real));
  if (value != nullptr) real = *value;
  if (!number || !(std::abs(real) <= kLargestExactInteger) || real != std::floor(real)) {
    return "must be a whole number";
  }
  out = static_cast<int64_t>(real);
  return "";
}

std::string convert(const ArgScalar& item, double& out) {
  double real = 0;
  if (const double* value = std::get_if<double>(&item)) {
    real = *value;
  } else if (const int64_t* whole = std::get_if<int64_t>(&item)) {
    real = static_cast<double>(*whole);
  } else {
    const RawText* raw = std::get_if<RawText>(&item);
    if (raw == nullptr || !read_number(raw->text, real)) return "must be a number";
  }
  if (!std::isfinite(real)) return "must be a finite number";
  out = real;
  return "";
}

std::string convert(const ArgScalar& item, std::string& out) {
  if (const std::string* value = std::get_if<std::string>(&item)) {
    out = *value;
  } else if (const RawText* raw = std::get_if<RawText>(&item)) {
    out = raw->text;
  } else {
    return "must be text";
  }
  return "";
}

std::string check_rule(bool, const FieldRule&) { return ""; }

std::string check_rule(int64_t value, const FieldRule& rule) {
  return check_rule(static_cast<double>(value), rule);
}

std::string check_rule(double value, const FieldRule& rule) {
  const bool low = rule.min_exclusive ? value <= rule.min : value < rule.min;
  const bool high = rule.max_exclusive ? value >= rule.max : value > rule.max;
  return low || high ? "must be " + describe(rule) : "";
}

std::string check_rule(const std::string& value, const FieldRule& rule) {
  if (rule.choices.empty()) return "";
  for (const std::string& choice : rule.choices) {
    if (value == choice) return "";
  }
  const std::string nearest = nearest_match(value, rule.choices);
  return "must be " + describe(rule) + (nearest.empty() ? "" : "; did you mean " + nearest + "?");
}

std::string describe(const FieldRule& rule) {
  if (!rule.choices.empty()) {
    std::string list;
    for (const std::string& choice : rule.choices) list += (list.empty() ? "" : ", ") + choice;
    return "one of " + list;
  }
  const std::string low = (rule.min_exclusive ? "above " : "at least ") + number_text(rule.min);
  const std::string high = (rule.max_exclusive ? "below " : "at most ") + number_text(rule.max);
  if (std::isinf(rule.min)) return std::isinf(rule.max) ? "" : high;
  return std::isinf(rule.max) ? low : low + " and " + high;
}

bool is_none(const ArgValue& value) {
  if (value.is_list || value.items.size() != 1) return false;
  std::string text;
  return convert(value.items.front(), text).empty() && text == "None";
}

std::vector<ArgScalar> list_items(const ArgValue& value) {
  std::string text;
  if (value.is_list || value.items.size() != 1 || !convert(value.items.front(), text).empty()) {
    return value.items;
  }
  text = trimmed(text);
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = trimmed(text.substr(1, text.size() - 2));
  }
  std::vector<ArgScalar> items;
  if (text.empty()) return items;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    items.emplace_back(RawText{trimmed(text.substr(begin, comma - begin))});
    begin = comma + 1;
  }
  return items;
}

std::string written(const ArgValue& value) {
  if (!value.is_list && value.items.size() == 1) return std::visit(Written{}, value.items.front());
  std::string list;
  for (const ArgScalar& item : value.items) {
    list += (list.empty() ? "" : ", ") + std::visit(Written{}, item);
  }
  return "[" + shown(list) + "]";
}

std::string shortest(double value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "nan" : (value < 0 ? "-inf" : "inf");
  char buffer[32];
  const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  std::string text(buffer, end.ptr);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

}  // namespace titan::config
