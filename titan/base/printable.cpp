#include "titan/base/printable.h"

#include <algorithm>

namespace titan {

std::string printable(const std::string& text, std::size_t longest) {
  std::string result = text.substr(0, longest);
  std::replace_if(
      result.begin(), result.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  if (text.size() > longest) result += "...";
  return result;
}

std::string listed(const std::vector<std::string>& names, std::size_t shown, std::size_t longest) {
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, names.size()); ++i)
    text += (i == 0 ? "" : ", ") + printable(names[i], longest);
  if (names.size() > shown) text += " and " + std::to_string(names.size() - shown) + " more";
  return text;
}

}  // namespace titan
