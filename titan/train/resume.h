// resume.h: where a run goes on, what must not have changed since, and saving for the next time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "titan/base/status.h"
#include "titan/data/dataset.h"
#include "titan/optim/adamw.h"
#include "titan/optim/ema.h"
#include "titan/parallel/flat_parameters.h"
#include "titan/train/trainer.h"

namespace titan {

class ResumePoint {
 public:
  /// Finds the checkpoint to resume from (none where checkpoints are off or there is none yet),
  /// refuses one whose data set, seed, objective or global batch differs (checkpoint.allow_change),
  /// and settles the seed: the config's, else the checkpoint's, else drawn once by rank 0 and
  /// logged. All ranks call.
  static StatusOr<std::unique_ptr<ResumePoint>> open(const TrainerContext& context,
                                                     const Dataset& dataset, int64_t global_batch);
  virtual ~ResumePoint() = default;

  virtual std::uint64_t seed() const = 0;
  /// Step of the checkpoint; nothing where the run starts anew.
  virtual std::optional<int64_t> resumed_step() const = 0;
  /// Global samples consumed.
  virtual int64_t cursor() const = 0;

  /// Fills weights, moments and averages from the checkpoint, if there is one; refuses another
  /// model by name. A checkpoint without averages starts them from its weights.
  virtual Status restore(parallel::FlatParameters& parameters, optim::AdamW& optimizer,
                         optim::Ema* ema) = 0;
  /// Writes a checkpoint; returns when it is complete on disk. All ranks call.
  virtual Status save(int64_t step, int64_t cursor, const parallel::FlatParameters& parameters,
                      const optim::AdamW& optimizer, const optim::Ema* ema) = 0;
};

}  // namespace titan
