// heartbeat.h: tells the other ranks that this one lives and gets on, and notices where one does
// not. No torch: what it writes on is a BeatBoard.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "titan/parallel/beat.h"
#include "titan/parallel/stall_judge.h"

namespace titan::parallel {

/// Where ranks leave their beats. Used from one thread. May throw where it is lost.
class BeatBoard {
 public:
  virtual ~BeatBoard() = default;
  /// Leaves this rank's beat; returns when the board has answered.
  virtual void publish(const std::string& beat) = 0;
  /// What every rank has left last, by rank; empty = nothing yet.
  virtual std::vector<std::optional<std::string>> read() = 0;
  /// Ends the job for `cause`: leaves it for the other ranks and waits a while until all but
  /// `deaf` have seen it.
  virtual void end_job(const std::string& cause, const std::vector<int>& deaf) = 0;
};

struct HeartbeatOptions {
  int rank = 0;
  int world_size = 1;
  StallLimits limits = {};  ///< with the interval
};

/// Two threads: one beats and, on rank 0, judges all ranks' beats; on the other ranks a second one
/// notices a board that does not answer (it lies in rank 0's process, which may be frozen).
class Heartbeat {
 public:
  using SampleBeat = std::function<Beat()>;
  /// `report` is told on a thread of this object, once; `board` (null in a job of one rank, or
  /// where it is the board that is silent) tells the others. It normally ends the process.
  using OnStall = std::function<void(const StallReport& report, BeatBoard* board)>;

  /// `board`: null in a job of one rank. `sample` fills everything but `count` and `left`; both
  /// functions must stay callable until this object is gone.
  Heartbeat(const HeartbeatOptions& options, std::unique_ptr<BeatBoard> board, SampleBeat sample,
            OnStall on_stall);
  /// Says that this rank is done, and stops; a thread that the board does not let go is left
  /// behind, for the process is about to end.
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace titan::parallel
