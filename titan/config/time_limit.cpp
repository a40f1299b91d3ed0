#include "titan/config/time_limit.h"

#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

namespace titan {
namespace {

constexpr std::int64_t kMostDigits = 9;  // 31 years: further sums cannot overflow

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool digits = !text.empty() && static_cast<std::int64_t>(text.size()) <= kMostDigits &&
                      text.find_first_not_of("0123456789") == std::string_view::npos;
  if (!digits || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The numbers between the separators; nothing where one is no number.
std::optional<std::vector<std::int64_t>> fields(std::string_view text, char separator) {
  std::vector<std::int64_t> numbers;
  while (true) {
    const std::size_t end = text.find(separator);
    const std::optional<std::int64_t> number = whole_number(text.substr(0, end));
    if (!number) return std::nullopt;
    numbers.push_back(*number);
    if (end == std::string_view::npos) return numbers;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

StatusOr<std::int64_t> parse_time_limit(const std::string& text) {
  const Status wrong =
      invalid_argument("must be seconds or [days-]hours:minutes:seconds (given \"", text, "\")");
  const std::size_t dash = text.find('-');
  std::int64_t days = 0;
  std::string_view rest = text;
  if (dash != std::string::npos) {
    const std::optional<std::int64_t> number = whole_number(rest.substr(0, dash));
    if (!number) return wrong;
    days = *number;
    rest.remove_prefix(dash + 1);
  }
  const auto numbers = fields(rest, ':');
  if (!numbers) return wrong;
  if (numbers->size() == 1 && dash == std::string::npos) return numbers->front();
  if (numbers->size() != 3 || (*numbers)[1] > 59 || (*numbers)[2] > 59) return wrong;
  if (dash != std::string::npos && (*numbers)[0] > 23) return wrong;
  return ((days * 24 + (*numbers)[0]) * 60 + (*numbers)[1]) * 60 + (*numbers)[2];
}

}  // namespace titan
