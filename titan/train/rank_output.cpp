#include "titan/train/rank_output.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace titan {
namespace {

constexpr std::size_t kHiddenLines = 30;          // enough for an error message and what led to it
constexpr std::size_t kLongestPartial = 1 << 16;  // a stream without line ends is cut here

}  // namespace

void HiddenLines::add(std::string line) {
  lines_.push_back(std::move(line));
  if (lines_.size() > kHiddenLines) lines_.pop_front();
}

bool is_warning_line(const std::string& line) {
  if (line.empty() || (line[0] != 'W' && line[0] != 'E' && line[0] != 'F')) return false;
  const std::size_t space = line.find(' ');
  if (space != 5 && space != 9) return false;  // mmdd or yyyymmdd
  return std::all_of(line.begin() + 1, line.begin() + static_cast<std::ptrdiff_t>(space),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

RankOutput::RankOutput(int rank, bool show_all, HiddenLines& hidden)
    : prefix_("[rank " + std::to_string(rank) + "] "), show_all_(show_all), hidden_(hidden) {}

std::string RankOutput::take(const char* data, std::size_t size) {
  std::string shown;
  for (std::size_t i = 0; i < size; ++i) {
    if (data[i] == '\n' || partial_.size() >= kLongestPartial) {
      shown += take_line(std::exchange(partial_, {}));
      if (data[i] == '\n') continue;
    }
    partial_ += data[i];
  }
  return shown;
}

std::string RankOutput::finish() {
  return partial_.empty() ? "" : take_line(std::exchange(partial_, {}));
}

std::string RankOutput::take_line(const std::string& line) {
  if (!show_all_ && !is_warning_line(line)) {
    hidden_.add(line);
    return {};
  }
  // The logger of a rank names it already.
  const bool named = line.find(prefix_) != std::string::npos;
  return (named ? "" : prefix_) + line + "\n";
}

}  // namespace titan
