// rank_output.h: what one rank prints, line by line: shown with a prefix, or kept for the case that
// the rank fails. No torch.
#pragma once

#include <cstddef>
#include <deque>
#include <string>

namespace titan {

/// Recent lines of a rank that were not shown (both streams, in order of arrival).
class HiddenLines {
 public:
  void add(std::string line);
  const std::deque<std::string>& lines() const { return lines_; }

 private:
  std::deque<std::string> lines_;
};

/// One stream (stdout or stderr) of one rank.
class RankOutput {
 public:
  /// `show_all`: LOG_RANK names this rank; else only warnings and errors are shown. `hidden`
  /// outlives this object.
  RankOutput(int rank, bool show_all, HiddenLines& hidden);

  /// Takes the next bytes; returns what is to be shown now: whole lines, prefixed.
  std::string take(const char* data, std::size_t size);
  /// The stream has ended: treats a last line without line end as a line.
  std::string finish();

 private:
  std::string take_line(const std::string& line);

  std::string prefix_;
  bool show_all_;
  HiddenLines& hidden_;
  std::string partial_;
};

/// True for a line that glog marks W, E or F ("W20260131 12:00:00.0 ...", with or without a year).
bool is_warning_line(const std::string& line);

}  // namespace titan
