// run_state.h: whether somebody writes into a run's folder.
#pragma once

#include <filesystem>

namespace titan::report {

enum class RunState : unsigned char {
  kRunning,   ///< a process holds the folder's lock
  kFinished,  ///< all steps are done, or the target is met
  kStopped,   ///< by a signal or a time limit, after a last word
  kFailed,    ///< and its folder says why
  kEnded,     ///< without a last word: killed, or failed
};

/// Words for a reader: "is being written", ...
const char* describe(RunState state);

/// Whether a process holds the run's lock: looked up in the kernel's list, without taking the lock
/// even for an instant (a run that starts at that moment would be refused). The lock of a run on
/// another host is not seen from here: it counts as held while metrics.jsonl is younger than ten
/// minutes.
bool is_locked(const std::filesystem::path& run);

}  // namespace titan::report
