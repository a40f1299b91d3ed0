#include "titan/io/remote/brace_expansion.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>

#include "titan/base/printable.h"

namespace titan {
namespace {

constexpr std::size_t kMaxNames = 1'000'000;

std::optional<std::int64_t> whole_number(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.size() > 18 || error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

/// Values of what stands between the braces; empty where it is neither range nor list.
StatusOr<std::vector<std::string>> values_of(const std::string& inside,
                                             const std::string& pattern) {
  std::vector<std::string> values;
  if (const std::size_t dots = inside.find(".."); dots != std::string::npos) {
    const std::string first = inside.substr(0, dots);
    const auto from = whole_number(first);
    const auto to = whole_number(inside.substr(dots + 2));
    if (!from || !to || *from < 0 || *to < 0)
      return invalid_argument("[shards] {", printable(inside), "} in ", printable(pattern, 300),
                              " is no range of whole numbers");
    if (static_cast<std::size_t>(std::abs(*to - *from)) >= kMaxNames)
      return invalid_argument("[shards] {", printable(inside), "} means more than ", kMaxNames,
                              " shards");
    for (std::int64_t i = *from;; i += *from <= *to ? 1 : -1) {
      std::string digits = std::to_string(i);
      values.push_back(std::string(first.size() - std::min(first.size(), digits.size()), '0') +
                       digits);
      if (i == *to) return values;
    }
  }
  for (std::size_t start = 0; start <= inside.size();) {
    const std::size_t comma = std::min(inside.find(',', start), inside.size());
    values.push_back(inside.substr(start, comma - start));
    start = comma + 1;
  }
  if (values.size() < 2)
    return invalid_argument("[shards] {", printable(inside), "} in ", printable(pattern, 300),
                            " is neither a range {0000..0010} nor a list {a,b}");
  return values;
}

}  // namespace

StatusOr<std::vector<std::string>> expand_braces(const std::string& pattern) {
  std::vector<std::string> names = {""};
  for (std::size_t at = 0; at < pattern.size();) {
    const std::size_t open = std::min(pattern.find('{', at), pattern.size());
    for (std::string& name : names) name += pattern.substr(at, open - at);
    if (open == pattern.size()) break;
    const std::size_t close = pattern.find('}', open);
    if (close == std::string::npos)
      return invalid_argument("[shards] a { is not closed in ", printable(pattern, 300));
    TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> values,
                           values_of(pattern.substr(open + 1, close - open - 1), pattern));
    if (names.size() * values.size() > kMaxNames)
      return invalid_argument("[shards] ", printable(pattern, 300), " means more than ", kMaxNames,
                              " shards");
    std::vector<std::string> longer;
    for (const std::string& name : names)
      for (const std::string& value : values) longer.push_back(name + value);
    names = std::move(longer);
    at = close + 1;
  }
  return names;
}

}  // namespace titan
