#include "titan/config/nearest.h"

#include <algorithm>
#include <cctype>

namespace titan::config {
namespace {

/// Longer names are cut: no key is that long, and the distance is quadratic.
constexpr std::size_t kLongestCompared = 128;

std::string folded(const std::string& text) {
  std::string result = text.substr(0, kLongestCompared);
  for (char& c : result) {
    c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return result;
}

std::string last_part(const std::string& name) { return name.substr(name.rfind('.') + 1); }

std::size_t allowed_distance(const std::string& name) {
  return std::max<std::size_t>(2, name.size() / 3);
}

/// The distance where it is at most `limit`, else something above: names of other lengths need not
/// be compared.
std::size_t distance_within(std::size_t limit, const std::string& a, const std::string& b) {
  const std::size_t least = std::max(a.size(), b.size()) - std::min(a.size(), b.size());
  return least > limit ? least : edit_distance(a, b);
}

}  // namespace

std::size_t edit_distance(const std::string& a, const std::string& b) {
  const std::size_t columns = b.size() + 1;
  std::vector<std::size_t> before(columns);
  std::vector<std::size_t> previous(columns);
  std::vector<std::size_t> current(columns);
  for (std::size_t j = 0; j < columns; ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j < columns; ++j) {
      const std::size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + cost});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) current[j] = std::min(current[j], before[j - 2] + 1);
    }
    before.swap(previous);
    previous.swap(current);
  }
  return previous[b.size()];
}

std::string nearest_match(const std::string& name, const std::vector<std::string>& candidates) {
  const std::string wanted = folded(name);
  const std::string wanted_part = last_part(wanted);
  const std::size_t allowed = allowed_distance(wanted_part);
  std::string best;
  std::size_t best_distance = 0;
  for (const std::string& candidate : candidates) {
    const std::string known = folded(candidate);
    std::size_t distance = distance_within(allowed, wanted, known);
    bool close = distance <= allowed;
    const std::size_t part_distance = distance_within(allowed, wanted_part, last_part(known)) + 1;
    if (part_distance <= std::min(distance, allowed)) {
      distance = part_distance;
      close = true;
    }
    if (close && (best.empty() || distance < best_distance)) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace titan::config
