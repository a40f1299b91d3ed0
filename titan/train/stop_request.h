// stop_request.h: all ranks of a job decide together whether to stop: a signal that came to any of
// them, or rank 0's clock.
#pragma once

#include <functional>
#include <string>

#include "titan/train/deadline.h"

namespace titan {

namespace parallel {
class Communicator;
}

class StopRequest {
 public:
  /// `signal`: the number of a signal that came to this rank, or 0. Only rank 0's deadline counts.
  StopRequest(parallel::Communicator& ranks, Deadline deadline, std::function<int()> signal)
      : ranks_(ranks), deadline_(std::move(deadline)), signal_(std::move(signal)) {}

  /// Whether to stop: from then on always. All ranks call at the same place. `needed_s`: what must
  /// be left of the time limit to go on (rank 0's counts).
  bool agreed(double needed_s);

  const Deadline& deadline() const { return deadline_; }
  /// "by SIGTERM (to rank 1)", "at the time limit (job.time_limit=60: 4 s are left)"; empty unless
  /// agreed.
  const std::string& reason() const { return reason_; }

 private:
  parallel::Communicator& ranks_;
  Deadline deadline_;
  std::function<int()> signal_;
  std::string reason_;
};

}  // namespace titan
