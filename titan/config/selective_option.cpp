#include "titan/config/selective_option.h"

#include <charconv>

namespace titan {

StatusOr<SelectiveOption> parse_selective_option(const std::string& text) {
  if (text == "op") return SelectiveOption{};
  SelectiveOption option;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, option.every);
  if (error != std::errc() || stop != end || option.every < 1) {
    return invalid_argument("must be \"op\" or a whole number of at least 1 (given \"", text,
                            "\")");
  }
  return option;
}

}  // namespace titan
