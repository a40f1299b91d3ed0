#include "titan/config/toml_nesting.h"

#include <algorithm>

namespace titan::config {
namespace {

constexpr int kMostParts = 200;
constexpr int kMostBrackets = 32;

/// Behind the quoted text that begins at `at`. Where TOML forbids what stands there, the library
/// stops reading at that place, so it does not matter what comes behind it.
std::size_t end_of_quoted(std::string_view toml, std::size_t at) {
  const char quote = toml[at];
  const std::string three(3, quote);
  const bool long_text = toml.compare(at, 3, three) == 0;
  at += long_text ? 3 : 1;
  while (at < toml.size()) {
    if (toml[at] == '\\' && quote == '"') {
      at += 2;
    } else if (long_text && toml.compare(at, 3, three) == 0) {
      at += 3;
      // Up to two quotes more than three: the first ones belong to the text.
      for (int more = 0; more < 2 && at < toml.size() && toml[at] == quote; ++more) ++at;
      return at;
    } else if (!long_text && (toml[at] == quote || toml[at] == '\n')) {
      return toml[at] == quote ? at + 1 : at;
    } else {
      ++at;
    }
  }
  return toml.size();
}

}  // namespace

DeepLine find_deep_line(std::string_view toml) {
  int dots = 0, brackets = 0;
  std::size_t line = 1;
  for (std::size_t at = 0; at < toml.size();) {
    const char letter = toml[at];
    std::size_t next = at + 1;
    if (letter == '"' || letter == '\'') {
      next = end_of_quoted(toml, at);
    } else if (letter == '#') {
      next = std::min(toml.find('\n', at), toml.size());
    } else if (letter == '.') {
      ++dots;
    } else if (std::string_view("\n,=[]{}").find(letter) != std::string_view::npos) {
      dots = 0;
      brackets += (letter == '[' || letter == '{') - (letter == ']' || letter == '}');
    }
    if (dots >= kMostParts) return {line, "a key of more than 200 parts"};
    if (brackets > kMostBrackets) return {line, "more than 32 lists and tables in each other"};
    const std::string_view passed = toml.substr(at, next - at);
    line += static_cast<std::size_t>(std::count(passed.begin(), passed.end(), '\n'));
    at = next;
  }
  return {};
}

}  // namespace titan::config
