// shared_steps.h: how ranks that share memory keep step: each has a slot that it fills in turn with
// the others reading theirs.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "titan/parallel/shared_segment.h"

namespace titan::parallel {

/// A step: fill own_slot(), meet(), read slot(r) of the others, end_step(). Two slots a rank take
/// turns, so one meeting a step is enough: who fills the same slot again has met, one step before,
/// everybody who could still have been reading it.
///
/// One thread at a time. A rank that ended, left or does not come in time is an error, and so is
/// every later meeting.
class SharedSteps {
 public:
  static std::size_t segment_bytes(int size, std::size_t slot_bytes);
  /// `segment` has segment_bytes(size, slot_bytes).
  SharedSteps(std::unique_ptr<SharedSegment> segment, int rank, int size, std::size_t slot_bytes);
  /// Tells the others that this rank has left.
  ~SharedSteps();
  SharedSteps(const SharedSteps&) = delete;
  SharedSteps& operator=(const SharedSteps&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  std::size_t slot_bytes() const { return slot_bytes_; }

  /// Of the step under way.
  std::byte* own_slot() const { return slot(rank_); }
  std::byte* slot(int rank) const;
  /// Returns when every rank has filled its slot of this step. Throws titan::Error, which names the
  /// rank, after `deadline`.
  void meet(std::chrono::steady_clock::time_point deadline);
  /// slot() is the other one of each rank from now on. What was met stays as it is until the next
  /// meeting.
  void end_step() { ++step_; }

  /// From another thread: a meeting under way ends with an error.
  void interrupt() { interrupted_.store(true); }

 private:
  struct RankLine;
  RankLine& line(int rank) const;
  void wait_for(int rank, std::chrono::steady_clock::time_point deadline);
  void check(int rank, std::chrono::steady_clock::time_point deadline);

  std::unique_ptr<SharedSegment> segment_;
  int rank_, size_;
  std::size_t slot_bytes_;
  std::vector<int> processes_;  ///< descriptors that tell when a rank's process has ended
  std::uint32_t step_ = 1;
  int spins_ = 0;
  std::atomic<bool> interrupted_ = false;
  std::string broken_;  ///< why no meeting can succeed any more
};

}  // namespace titan::parallel
