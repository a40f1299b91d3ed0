// resume_state.h: what of a run is saved, and what must not change between its parts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_item.h"
#include "titan/checkpoint/checkpoint_reader.h"
#include "titan/checkpoint/rank_group.h"
#include "titan/config/job_config.h"
#include "titan/data/dataset.h"
#include "titan/io/safetensors.h"
#include "titan/optim/adamw.h"
#include "titan/optim/ema.h"

namespace titan {

using CheckpointItems = std::vector<checkpoint::CheckpointItem>;

/// What this rank holds of weights, moments and averages.
CheckpointItems model_items(const parallel::FlatParameters& parameters);
CheckpointItems moment_items(const parallel::FlatParameters& parameters,
                             const optim::AdamW& optimizer);
CheckpointItems ema_items(const parallel::FlatParameters& parameters, const optim::Ema& ema);
void append(CheckpointItems& items, CheckpointItems more);

/// The checkpoint of another run that checkpoint.initial_load_path names for its whole state; an
/// error where what lies there has weights at most.
StatusOr<checkpoint::CheckpointReader> open_initial_checkpoint(const JobConfig& config);
/// Whether a checkpoint is of step 0 without moments: what `titan convert --to=titan` makes, and
/// what torchtitan calls a seed checkpoint.
bool holds_weights_alone(const checkpoint::CheckpointReader& checkpoint);
/// An error where a job of other fingerprints than the checkpoint's may not go on from it
/// (checkpoint.allow_change); weights alone may start any.
Status check_goes_on(const checkpoint::CheckpointReader& checkpoint,
                     const std::map<std::string, std::string>& fingerprints,
                     const JobConfig& config);
/// checkpoint.exclude_from_loading names this part of a checkpoint.
bool excluded_from_loading(const JobConfig& config, const std::string& part);
/// Step at which the run whose checkpoints lie in `folder` ended by saving its weights alone: they
/// are newer than the checkpoint of step `resumed` (none = there is none).
StatusOr<std::optional<int64_t>> find_run_end(const JobConfig& config, const std::string& folder,
                                              std::optional<int64_t> resumed);
/// kFailedPrecondition: a run that ended so has nothing to go on from.
Status run_has_ended(const std::string& folder, int64_t step);

/// Collective: all parameters of the model in their order, whichever ranks hold parts of them.
StatusOr<std::vector<TensorSpec>> whole_model(const parallel::FlatParameters& parameters,
                                              const checkpoint::RankGroup& ranks);

/// "dataset", "objective" and "global_batch_size" as text (CheckpointMeta::fingerprints).
std::map<std::string, std::string> run_fingerprints(const JobConfig& config, const Dataset& dataset,
                                                    int64_t global_batch);
/// Names and shapes of all parameters, so another width, depth or architecture is another model;
/// the same on every layout.
std::string model_fingerprint(const JobConfig& config, const std::vector<TensorSpec>& model);

}  // namespace titan
