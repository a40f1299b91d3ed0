// run_weights.h: weights alone, into a run (checkpoint.initial_load_path) and out of it
// (checkpoint.model_weights_only).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_item.h"
#include "titan/checkpoint/rank_group.h"
#include "titan/io/safetensors.h"
#include "titan/protocols/weight_formats.h"

namespace titan {

/// Fills the items (what this rank holds of `model`) from weights on disk
/// (checkpoint::WeightSource) whose names are found out. Every tensor of the model must be there in
/// its shape: what does not fit is named, with both sizes where it is another size of the model.
/// From a checkpoint come the averages where the items' prefix is "ema" (the weights, with a
/// warning, where it has none). `verify` compares its checksums first. No items: it is looked
/// whether the weights fit, and nothing is read.
Status load_published_weights(const std::string& path, const WeightFormats& formats,
                              const std::vector<checkpoint::CheckpointItem>& items,
                              const std::vector<TensorSpec>& model, bool verify);

/// `folder`/weights-000100.safetensors, and of the averages weights-ema-000100.safetensors.
std::string run_weights_path(const std::string& folder, int64_t step);
std::string run_averages_path(const std::string& folder, int64_t step);

/// What holds the weights, or the averages, of a step of the run whose checkpoints lie in `folder`:
/// a checkpoint or weights saved alone. step < 0: the last step there is. kNotFound lists the
/// steps.
StatusOr<std::string> find_run_weights(const std::string& folder, int64_t step, bool averages);

/// Step of the newest weights-….safetensors in the folder, if there is any.
StatusOr<std::optional<int64_t>> latest_run_weights(const std::string& folder);

/// Renames weights of later steps, from a course of the run that was given up, so that they are not
/// taken for its end: .abandoned-weights-000100.safetensors.
Status abandon_run_weights(const std::string& folder, int64_t step);

/// Collective. Writes the items' tensors whole, in the type of that name ("float32", "bfloat16",
/// "float16"), to one ordinary safetensors file, however they are spread over the ranks: where rank
/// 0 holds everything it writes at once; else every rank writes its part to a temporary folder
/// beside `path`, from which rank 0 puts the file together. On an error of any rank nothing is left
/// and all return it.
Status save_run_weights(const std::string& path,
                        const std::vector<checkpoint::CheckpointItem>& items,
                        const std::string& type, const checkpoint::RankGroup& ranks);

}  // namespace titan
