// resume_state.h: what of a run is saved, and what must not change between its parts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_item.h"
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
