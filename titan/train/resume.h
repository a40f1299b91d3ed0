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
#include "titan/protocols/weight_formats.h"
#include "titan/train/trainer.h"

namespace titan {

class ResumePoint {
 public:
  /// Finds the checkpoint to resume from (none where checkpoints are off or there is none yet; then
  /// checkpoint.initial_load_path may name another run's), refuses one whose data set, seed,
  /// objective or global batch differs (checkpoint.allow_change), and settles the seed: the
  /// config's, else the checkpoint's, else drawn once by rank 0 and logged. All ranks call.
  static StatusOr<std::unique_ptr<ResumePoint>> open(const TrainerContext& context,
                                                     const Dataset& dataset, int64_t global_batch);
  virtual ~ResumePoint() = default;

  virtual std::uint64_t seed() const = 0;
  /// Step of the checkpoint; nothing where the run starts anew.
  virtual std::optional<int64_t> resumed_step() const = 0;
  /// Global samples consumed.
  virtual int64_t cursor() const = 0;
  /// Step from which the learning-rate schedule counts: 0, or the checkpoint's where its schedule
  /// is excluded from loading.
  virtual int64_t lr_origin() const = 0;
  /// An error where the run ended by saving its weights alone (checkpoint.model_weights_only): it
  /// can be finished, but not go on.
  virtual Status check_can_go_on() const = 0;

  /// Fills weights, moments and averages from the checkpoint, if there is one, except what
  /// checkpoint.exclude_from_loading names; else weights from checkpoint.initial_load_path, under
  /// any name of `formats`. Refuses another model, saying what differs. Averages that are not
  /// loaded start from the weights.
  virtual Status restore(parallel::FlatParameters& parameters, optim::AdamW& optimizer,
                         optim::Ema* ema, const WeightFormats& formats) = 0;
  /// Writes a checkpoint: every rank what it holds. Returns when it is complete on disk or, with
  /// checkpoint.async_mode=async, when the state is copied. With `last` it is complete in any case;
  /// and where the config wants model_weights_only, the weights alone are written. All ranks call,
  /// and all return an error where one fails.
  virtual Status save(int64_t step, int64_t cursor, const parallel::FlatParameters& parameters,
                      const optim::AdamW& optimizer, const optim::Ema* ema, bool last) = 0;
  /// After every step: notes whether a checkpoint has become complete meanwhile, or its error. All
  /// ranks call. Costs nothing where none is being written.
  virtual Status poll() = 0;
  /// Waits for the checkpoint that is being written, if there is one. All ranks call before they
  /// part.
  virtual Status finish() = 0;
};

}  // namespace titan
