// stop_times.h: how long before its end a job has to begin to stop, from what it has measured. No
// torch.
#pragma once

#include <chrono>
#include <cstdint>

namespace titan {

/// What a job does before it is asked again whether to stop.
struct Ahead {
  bool step = false;
  bool evaluation = false;
  bool pictures = false;
  bool checkpoint = false;
};

/// Each duration is the last one measured, or the longest of the last few steps.
class StopTimes {
 public:
  /// Counts from its making.
  class Timer {
   public:
    double seconds() const {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    }

   private:
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  };
  static Timer start() { return {}; }

  /// `margin_s`: job.time_margin_seconds, 0 = from what is measured. `save_bytes`: what a
  /// checkpoint writes on this rank: its time is assumed until one was measured. `saves`: whether
  /// stopping saves at all.
  StopTimes(double margin_s, double save_bytes, bool saves);

  void step(double seconds);
  void evaluation(double seconds) { evaluation_s_ = seconds; }
  void pictures(double seconds) { pictures_s_ = seconds; }
  /// `complete`: it was on disk then; else the copy alone was timed, and it is written beside
  /// training.
  void save(double seconds, bool complete);

  /// Seconds that must be left for doing `ahead`, saving and ending.
  double needed_s(const Ahead& ahead) const;

 private:
  double margin_s_;
  bool saves_;
  double step_s_ = 0;
  double evaluation_s_ = 0;
  double pictures_s_ = 0;
  double save_s_ = 0;
};

}  // namespace titan
