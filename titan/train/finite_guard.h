// finite_guard.h: what happens when a loss or gradient is not a finite number: the step's update is
// left out on the device, the samples are named once the host looks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/job_config.h"

namespace titan {

namespace parallel {
class Communicator;
}

/// A step whose update was left out.
struct NonfiniteStep {
  int64_t step = 0;
  std::string cause;  ///< "the loss of sample 17 (a.tar:17) is not a finite number"
};

/// All ranks call in the same order. Steps are watched without a host sync; check() has one.
class FiniteGuard {
 public:
  /// `describe` names a sample by its index. Policy: training.on_nonfinite, max_nonfinite_steps.
  FiniteGuard(const TrainingSection& section, parallel::Communicator& ranks,
              std::function<std::string(int64_t)> describe);

  /// 1 where a step's gradient norm (the same on all ranks) is not finite, [] float32 on its
  /// device: what the optimizer skips by.
  static at::Tensor unusable(const at::Tensor& grad_norm);

  struct MicroBatch {
    at::Tensor sample;  ///< [B] int64, indices
    at::Tensor losses;  ///< [B] float32, on any device
  };
  /// Takes note of a step: its unusable(), its micro-batches. The tensors are looked at in check().
  void note(int64_t step, at::Tensor skip, std::vector<MicroBatch> batches);

  /// Looks at the steps since the last check: those that were left out. Error: there is one and
  /// the policy is stop, or the policy is skip and max_nonfinite_steps in a row were left out.
  StatusOr<std::vector<NonfiniteStep>> check();

  /// Steps left out so far.
  int64_t skipped() const { return skipped_; }

 private:
  struct Step {
    int64_t step;
    at::Tensor skip;
    std::vector<MicroBatch> batches;
  };
  std::string cause_of(const Step& step) const;
  std::string own_bad_samples(const Step& step) const;

  bool stop_;
  int64_t max_in_a_row_;
  parallel::Communicator& ranks_;
  std::function<std::string(int64_t)> describe_;
  std::vector<Step> pending_;
  int64_t skipped_ = 0;
  int64_t in_a_row_ = 0;
};

}  // namespace titan
