// stall_judge.h: from every rank's heartbeats, whether the job still gets on, and who holds it up.
// Knows neither threads nor clocks. No torch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/parallel/beat.h"

namespace titan::parallel {

struct StallLimits {
  double stall_s = 50;     ///< without progress of any rank, or without a beat of one
  double patient_s = 300;  ///< the same where a rank asks for patience (Beat::patient)
  /// At least twice the longest time without progress while a rank asked for patience: a machine
  /// whose single operators take minutes shows it in the first step.
  bool learn = false;
  double interval_s = 1;  ///< between beats
};

struct StallReport {
  enum class Kind : std::uint8_t {
    kSilent,         ///< ranks are not heard any more: frozen, or their host is gone
    kData,           ///< ranks wait for data, others for them
    kCompute,        ///< ranks are busy with something that does not end
    kCommunication,  ///< every rank waits for another
  };
  Kind kind = Kind::kSilent;
  std::vector<int> culprits;  ///< in order
  /// One line with the verdict, then one line for each group of ranks in the same place.
  std::string text;
};

class StallJudge {
 public:
  StallJudge(int world_size, const StallLimits& limits);

  /// What is known at `now_s` of a steady clock; `beats` by rank, empty = never heard. A report
  /// where the job stalls. Time in which nobody asked (this process was stopped, too) does not
  /// count against the ranks.
  std::optional<StallReport> observe(double now_s, const std::vector<std::optional<Beat>>& beats);

 private:
  struct Rank {
    Beat last;
    bool heard = false;
    double beat_at = 0;
    double progress_at = 0;
  };
  void take(Rank& rank, const std::optional<Beat>& beat);
  bool patient() const;
  double limit() const;
  std::optional<StallReport> silent_ranks() const;
  std::optional<StallReport> stalled_ranks() const;
  std::vector<int> ranks_behind() const;
  std::string table() const;

  StallLimits limits_;
  std::vector<Rank> ranks_;
  double observed_s_ = 0;  ///< time that counts
  std::optional<double> last_now_s_;
};

}  // namespace titan::parallel
