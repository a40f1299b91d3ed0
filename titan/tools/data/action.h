// action.h: what the actions of `titan convert-data` share: the error path, workers, progress.
// tools/data: turning data sets as they are published into what training reads, one file an action.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/tools/arguments.h"

namespace titan::tools {

/// One sub-action: gets the words behind its name, returns an exit code.
struct DataAction {
  std::string name;
  std::string help;  ///< one line
  int (*run)(const std::vector<std::string>& arguments);
};

/// Parses the command line of `action`: exactly `num_words` words and the known options. Where
/// `--help` is among them the words are not counted. Errors begin with the action's name.
StatusOr<Arguments> parse_action(const std::string& action, const std::vector<std::string>& args,
                                 std::vector<std::string> options, std::size_t num_words);

/// Worker threads: `wanted`, or one a core where it is 0.
int64_t num_workers(int64_t wanted);

/// A line every few seconds: what is done, how fast, and when it will be finished.
class ActionProgress {
 public:
  /// `action` begins the lines, `unit` is what is counted: "rows".
  ActionProgress(std::string action, std::string unit)
      : action_(std::move(action)), unit_(std::move(unit)) {}

  /// `done` units since the start; `share` of all work in [0, 1]. `first` units and `first_share`
  /// were done by an earlier process, and do not count for the speed.
  void tell(int64_t done, double share);
  void resume_at(int64_t done, double share) {
    first_ = done;
    first_share_ = share;
  }
  double seconds() const;

 private:
  using Clock = std::chrono::steady_clock;
  std::string action_, unit_;
  int64_t first_ = 0;
  double first_share_ = 0;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

}  // namespace titan::tools
