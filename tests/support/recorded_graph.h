// recorded_graph.h: what a device's graph does, on the CPU: every operation of ATen's and ours
// below autograd is written down with the addresses, shapes and host scalars it had, and done again
// on the same addresses. No line of C++ runs again: a number that reached an operation by way of
// the host keeps the value of the recording. Include tests/support/catch.h first.
#pragma once

#include <memory>
#include <string>

#include "titan/parallel/device_services.h"

namespace titan::testing {

/// As a device's, capture() leaves no trace: what the operations have written in memory that was
/// there before is put back. An operation whose result the host reads cannot be recorded.
std::unique_ptr<parallel::DeviceGraph> make_recorded_graph();

/// While alive, the process has services of a device whose graphs are recorded ones, on the CPU.
class RecordingServices {
 public:
  /// `failure`, if not empty, is what recordings end with, after their work.
  explicit RecordingServices(const std::string& failure = "");
  ~RecordingServices();
  RecordingServices(const RecordingServices&) = delete;
  RecordingServices& operator=(const RecordingServices&) = delete;

  /// Graphs replayed so far, in all.
  int64_t replays() const;
};

}  // namespace titan::testing
