// step_observer.h: who looks on between the steps of a run: a replay, or a program that embeds the
// trainer.
#pragma once

#include <cstdint>

#include "titan/base/status.h"
#include "titan/data/batch.h"
#include "titan/train/train_step.h"

namespace titan {

struct RunParts;

/// All calls come on the training thread of every rank; steps count from 1.
class StepObserver {
 public:
  virtual ~StepObserver() = default;
  /// Everything is there and nothing is computed yet. An error, on any rank, ends the run.
  virtual Status before_training(const RunParts& run) { return (void)run, ok_status(); }
  virtual void before_step(int64_t step, TrainStep& training) { (void)step, (void)training; }
  /// A micro-batch of the step, on the CPU, as the loader gives it.
  virtual void on_batch(const Batch& batch) { (void)batch; }
  /// Weights are updated; what the step says of itself is not looked at yet, so a step that is
  /// about to be refused (a loss that is no number) comes by, too. False on every rank: the run
  /// ends here, as if it were done, and saves nothing more.
  virtual bool after_step(int64_t step, const StepResult& result, TrainStep& training) = 0;
};

}  // namespace titan
