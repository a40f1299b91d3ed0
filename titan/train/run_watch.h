// run_watch.h: what a run is doing right now, for its trace, for its heartbeat, and for whoever
// reads why it ended.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "titan/parallel/heartbeat.h"
#include "titan/train/run_trace.h"
#include "titan/train/trainer.h"

namespace titan {

/// Beats from its construction to its end. Where the job stalls (see StallJudge), every rank writes
/// its trace and ends with exit code 1; so it does where another rank fails.
class RunWatch {
 public:
  enum class Phase : std::uint8_t { kSetUp, kStep, kEvaluation, kPictures, kCheckpoint, kEnd };

  /// `units`: names of the model's units.
  RunWatch(const TrainerContext& context, std::vector<std::string> units);
  ~RunWatch();
  RunWatch(const RunWatch&) = delete;
  RunWatch& operator=(const RunWatch&) = delete;

  /// Around each step; `cursor`: global samples consumed before it.
  void begin_step(int64_t step, int64_t cursor);
  void end_step();
  /// The micro-batch that is trained on now: its place in the global order, and what its first
  /// sample is called.
  void batch(int64_t first_slot, int64_t num_slots, std::function<std::string()> first_name);

  /// As long as it lives the run is in another phase.
  class PhaseScope {
   public:
    PhaseScope(RunWatch& watch, Phase phase)
        : watch_(watch), before_(watch.phase_.exchange(phase)) {}
    /// An exception leaves the phase in which it was thrown, for where().
    ~PhaseScope() {
      if (std::uncaught_exceptions() == exceptions_) watch_.phase_ = before_;
    }
    PhaseScope(const PhaseScope&) = delete;
    PhaseScope& operator=(const PhaseScope&) = delete;

   private:
    RunWatch& watch_;
    Phase before_;
    int exceptions_ = std::uncaught_exceptions();
  };
  [[nodiscard]] PhaseScope enter(Phase phase) { return {*this, phase}; }

  /// Where the training thread is: "step 12, in backward of blocks.1, global samples 96 to 103 (the
  /// first is shapes-0001.tar:000123.jpg)". Called on it.
  std::string where() const;
  RunTrace& trace() { return trace_; }

 private:
  parallel::Beat sample() const;
  parallel::StallLimits limits() const;
  void stalled(const parallel::StallReport& report, parallel::BeatBoard* board);

  TrainerContext context_;
  RunTrace trace_;
  std::atomic<Phase> phase_ = Phase::kSetUp;
  std::atomic<bool> warm_ = false;  ///< a step has ended
  std::atomic<int64_t> step_ = 0, begun_before_ = 0, cursor_ = 0, first_slot_ = -1, num_slots_ = 0;
  std::function<std::string()> first_name_;
  std::unique_ptr<parallel::Heartbeat> heartbeat_;  // last: its threads use the members above
};

}  // namespace titan
