#include "titan/train/resume_state.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "titan/base/hash.h"
#include "titan/checkpoint/compatibility.h"
#include "titan/checkpoint/weight_source.h"
#include "titan/train/run_weights.h"

namespace titan {
namespace {

std::string dataset_fingerprint(const JobConfig& config, const Dataset& dataset) {
  return str_cat(config.training.dataset, " ", dataset.size(), " samples ", dataset.fingerprint(),
                 " subset ", config.training.subset_size.value_or(0),
                 config.training.shuffle ? " shuffled" : " in stored order", " crop ",
                 config.dataset.crop, config.dataset.flip ? " flipped" : "", " classes ",
                 dataset.num_classes());
}

std::string objective_fingerprint(const JobConfig& config) {
  const ObjectiveSection& o = config.objective;
  if (o.name == "ddpm") {
    return str_cat(o.name, " ", o.prediction, " ", o.num_timesteps, " ", o.beta_schedule,
                   " min_snr ", o.min_snr_gamma, " dropout ", config.training.class_dropout_prob);
  }
  std::string text = str_cat(o.name, " ", o.timestep_sampler, " mean ", o.logit_mean, " std ",
                             o.logit_std, " mode ", o.mode_scale, " shift ", o.shift, " dropout ",
                             config.training.class_dropout_prob);
  if (config.model.name == "flux") {
    text += str_cat(" latents ", config.encoder.autoencoder_shift, " ",
                    config.encoder.autoencoder_scale, " guidance ", o.guidance);
  }
  return text;
}

/// [[name, shape], ...] for each unit: what this rank holds a part of.
std::string parameter_card(const parallel::FlatParameters& parameters) {
  nlohmann::json units = nlohmann::json::array();
  for (const parallel::FlatUnit& unit : parameters.units()) {
    nlohmann::json held = nlohmann::json::array();
    for (const parallel::Fragment& fragment : unit.fragments)
      held.push_back({fragment.name, fragment.shape});
    units.push_back(std::move(held));
  }
  return units.dump();
}

}  // namespace

CheckpointItems model_items(const parallel::FlatParameters& parameters) {
  return checkpoint::weight_items("model", parameters.units());
}

CheckpointItems moment_items(const parallel::FlatParameters& parameters,
                             const optim::AdamW& optimizer) {
  std::vector<at::Tensor> first, second;
  for (const optim::MomentState& moments : optimizer.moments()) {
    first.push_back(moments.exp_avg);
    second.push_back(moments.exp_avg_sq);
  }
  CheckpointItems items = checkpoint::items_of("optim.exp_avg", parameters.units(), first);
  append(items, checkpoint::items_of("optim.exp_avg_sq", parameters.units(), second));
  return items;
}

CheckpointItems ema_items(const parallel::FlatParameters& parameters, const optim::Ema& ema) {
  return checkpoint::items_of("ema", parameters.units(), ema.shadows());
}

void append(CheckpointItems& items, CheckpointItems more) {
  for (checkpoint::CheckpointItem& item : more) items.push_back(std::move(item));
}

StatusOr<checkpoint::CheckpointReader> open_initial_checkpoint(const JobConfig& config) {
  const std::string& path = config.checkpoint.initial_load_path;
  TITAN_ASSIGN_OR_RETURN(const std::string found, checkpoint::checkpoint_of_path(path));
  if (found.empty())
    return invalid_argument(
        "[checkpoint] checkpoint.initial_load_path=", path,
        " is no checkpoint of titan: it has weights at most, no optimizer and no step "
        "(checkpoint.initial_load_model_weights_only=false wants those)");
  return checkpoint::CheckpointReader::open(found);
}

bool holds_weights_alone(const checkpoint::CheckpointReader& checkpoint) {
  return checkpoint.meta().step == 0 && !checkpoint.has_prefix("optim.exp_avg");
}

Status check_goes_on(const checkpoint::CheckpointReader& checkpoint,
                     const std::map<std::string, std::string>& fingerprints,
                     const JobConfig& config) {
  if (holds_weights_alone(checkpoint)) return ok_status();
  return checkpoint::check_compatible(checkpoint.meta(), fingerprints,
                                      config.checkpoint.allow_change);
}

bool excluded_from_loading(const JobConfig& config, const std::string& part) {
  const std::vector<std::string>& parts = config.checkpoint.exclude_from_loading;
  return std::find(parts.begin(), parts.end(), part) != parts.end();
}

StatusOr<std::optional<int64_t>> find_run_end(const JobConfig& config, const std::string& folder,
                                              std::optional<int64_t> resumed) {
  TITAN_ASSIGN_OR_RETURN(const std::optional<int64_t> step, latest_run_weights(folder));
  const bool newest = step && (!resumed || *step > *resumed) && config.checkpoint.load_step < 0;
  return newest ? step : std::nullopt;
}

Status run_has_ended(const std::string& folder, int64_t step) {
  const std::string path = run_weights_path(folder, step);
  return failed_precondition("[checkpoint] this run ended at step ", step,
                             " with its weights alone (", path,
                             "); there is nothing to go on from. Another run can start from them: "
                             "--checkpoint.initial_load_path=",
                             path, " with another --job.dump_folder");
}

StatusOr<std::vector<TensorSpec>> whole_model(const parallel::FlatParameters& parameters,
                                              const checkpoint::RankGroup& ranks) {
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> cards,
                         ranks.gather(parameter_card(parameters)));
  // A unit's slices follow each other in order of rank: read so, its parameters come in their
  // order. Replicas repeat them.
  std::vector<nlohmann::json> by_rank;
  for (const std::string& card : cards) by_rank.push_back(nlohmann::json::parse(card));
  std::vector<TensorSpec> model;
  std::set<std::string> seen;
  for (std::size_t u = 0; u < parameters.units().size(); ++u) {
    for (const nlohmann::json& units : by_rank) {
      TITAN_CHECK(units.size() == parameters.units().size(),
                  "[checkpoint] the ranks hold different numbers of units");
      for (const nlohmann::json& held : units.at(u)) {
        const auto name = held.at(0).get<std::string>();
        if (seen.insert(name).second)
          model.push_back({name, TensorType::kF32, held.at(1).get<std::vector<int64_t>>()});
      }
    }
  }
  return model;
}

std::map<std::string, std::string> run_fingerprints(const JobConfig& config, const Dataset& dataset,
                                                    int64_t global_batch) {
  return {{"dataset", dataset_fingerprint(config, dataset)},
          {"objective", objective_fingerprint(config)},
          {"global_batch_size", std::to_string(global_batch)}};
}

std::string model_fingerprint(const JobConfig& config, const std::vector<TensorSpec>& model) {
  std::string text;
  int64_t count = 0;
  for (const TensorSpec& tensor : model) {
    text += str_cat(tensor.name, " ", c10::IntArrayRef(tensor.shape), ";");
    int64_t elements = 1;
    for (const int64_t size : tensor.shape) elements *= size;
    count += elements;
  }
  return str_cat(config.model.name, " ", count, " parameters ",
                 xxh3_128_hex(text.data(), text.size()));
}

}  // namespace titan
