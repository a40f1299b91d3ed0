#include "titan/train/resume.h"

#include <algorithm>
#include <random>
#include <utility>

#include "titan/base/hash.h"
#include "titan/base/log.h"
#include "titan/checkpoint/checkpoint_manager.h"
#include "titan/checkpoint/compatibility.h"
#include "titan/checkpoint/weight_source.h"
#include "titan/parallel/process_group.h"
#include "titan/train/run_folder.h"
#include "titan/train/run_weights.h"

namespace titan {
namespace {

using checkpoint::CheckpointItem;
using Fingerprints = std::map<std::string, std::string>;

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

/// Names and shapes of all parameters, so another width, depth or architecture is another model.
std::string model_fingerprint(const JobConfig& config, const parallel::FlatParameters& parameters) {
  std::string text;
  for (const parallel::FlatUnit& unit : parameters.units())
    for (const parallel::Fragment& fragment : unit.fragments)
      text += str_cat(fragment.name, " ", c10::IntArrayRef(fragment.shape), ";");
  return str_cat(config.model.name, " ", parameters.num_parameters(), " parameters ",
                 xxh3_128_hex(text.data(), text.size()));
}

std::uint64_t draw_seed() {
  std::random_device device;
  // 53 bits: the seed survives every JSON and TOML reader.
  return ((static_cast<std::uint64_t>(device()) << 32) | device()) >> 11;
}

using Items = std::vector<CheckpointItem>;

void append(Items& items, Items more) {
  for (CheckpointItem& item : more) items.push_back(std::move(item));
}

Items model_items(const parallel::FlatParameters& parameters) {
  return checkpoint::items_of("model", parameters.units(), &parallel::FlatUnit::master);
}

Items moment_items(const parallel::FlatParameters& parameters, const optim::AdamW& optimizer) {
  std::vector<at::Tensor> first, second;
  for (const optim::MomentState& moments : optimizer.moments()) {
    first.push_back(moments.exp_avg);
    second.push_back(moments.exp_avg_sq);
  }
  Items items = checkpoint::items_of("optim.exp_avg", parameters.units(), first);
  append(items, checkpoint::items_of("optim.exp_avg_sq", parameters.units(), second));
  return items;
}

Items ema_items(const parallel::FlatParameters& parameters, const optim::Ema& ema) {
  return checkpoint::items_of("ema", parameters.units(), ema.shadows());
}

class ResumePointOfRun : public ResumePoint {
 public:
  ResumePointOfRun(const TrainerContext& context, Fingerprints fingerprints)
      : context_(context), config_(context.config), fingerprints_(std::move(fingerprints)) {}

  Status find();

  std::uint64_t seed() const override { return seed_; }
  std::optional<int64_t> resumed_step() const override {
    if (ended_) return ended_;
    return reader_ && !excluded("train_state") ? std::optional(reader_->meta().step) : std::nullopt;
  }
  int64_t cursor() const override {
    return reader_ && !excluded("dataloader") ? reader_->meta().cursor : 0;
  }
  int64_t lr_origin() const override {
    return excluded("lr_scheduler") ? resumed_step().value_or(0) : 0;
  }
  Status check_can_go_on() const override;
  Status restore(parallel::FlatParameters& parameters, optim::AdamW& optimizer, optim::Ema* ema,
                 const WeightFormats& formats) override;
  Status save(int64_t step, int64_t cursor, const parallel::FlatParameters& parameters,
              const optim::AdamW& optimizer, const optim::Ema* ema, bool last) override;

 private:
  Status open_manager();
  Status open_checkpoint();
  Status open_initial_checkpoint();
  Status find_end();
  void settle_seed();
  Status load_checkpoint(parallel::FlatParameters& parameters, optim::AdamW& optimizer,
                         optim::Ema* ema, bool& averages_loaded) const;
  Status write_checkpoint(int64_t step, int64_t cursor, const parallel::FlatParameters& parameters,
                          const optim::AdamW& optimizer, const optim::Ema* ema) const;
  Status write_weights(int64_t step, const parallel::FlatParameters& parameters,
                       const optim::Ema* ema) const;
  bool is_main() const { return context_.rank.is_main(); }
  bool excluded(const std::string& part) const {
    const std::vector<std::string>& parts = config_.checkpoint.exclude_from_loading;
    return std::find(parts.begin(), parts.end(), part) != parts.end();
  }
  std::string folder() const {
    return (context_.run_folder.path() / config_.checkpoint.folder).string();
  }

  TrainerContext context_;
  const JobConfig& config_;
  Fingerprints fingerprints_;
  std::optional<checkpoint::CheckpointManager> manager_;
  std::optional<checkpoint::CheckpointReader> reader_;
  bool foreign_ = false;          ///< `reader_` is another run's (initial_load_path)
  std::optional<int64_t> ended_;  ///< step at which the run saved its weights alone
  std::uint64_t seed_ = 0;
};

/// Every rank opens the folder; rank 0 tidies it first.
Status ResumePointOfRun::open_manager() {
  const auto open = [&]() -> Status {
    TITAN_ASSIGN_OR_RETURN(auto manager, checkpoint::CheckpointManager::open(
                                             {.folder = folder(),
                                              .keep_latest_k = config_.checkpoint.keep_latest_k,
                                              .rank = context_.rank.rank}));
    manager_.emplace(std::move(manager));
    return ok_status();
  };
  if (is_main()) TITAN_RETURN_IF_ERROR(open());
  context_.ranks.control().barrier();
  return is_main() ? ok_status() : open();
}

Status ResumePointOfRun::open_checkpoint() {
  if (config_.checkpoint.load_step < 0) {
    TITAN_ASSIGN_OR_RETURN(const std::optional<int64_t> latest, manager_->latest_step());
    if (!latest) return ok_status();
  }
  TITAN_ASSIGN_OR_RETURN(auto reader, manager_->open_step(config_.checkpoint.load_step));
  reader_.emplace(std::move(reader));
  return ok_status();
}

/// The whole state of another run, from initial_load_path.
Status ResumePointOfRun::open_initial_checkpoint() {
  const std::string& path = config_.checkpoint.initial_load_path;
  TITAN_ASSIGN_OR_RETURN(const std::string found, checkpoint::checkpoint_of_path(path));
  if (found.empty())
    return invalid_argument(
        "[checkpoint] checkpoint.initial_load_path=", path,
        " is no checkpoint of titan: it has weights at most, no optimizer and no step "
        "(checkpoint.initial_load_model_weights_only=false wants those)");
  TITAN_ASSIGN_OR_RETURN(auto reader, checkpoint::CheckpointReader::open(found));
  reader_.emplace(std::move(reader));
  foreign_ = true;
  return ok_status();
}

/// Weights alone that are newer than every checkpoint: the end of this run.
Status ResumePointOfRun::find_end() {
  TITAN_ASSIGN_OR_RETURN(const std::optional<int64_t> step, latest_run_weights(folder()));
  if (step && (!reader_ || *step > reader_->meta().step) && config_.checkpoint.load_step < 0)
    ended_ = step;
  return ok_status();
}

Status ResumePointOfRun::check_can_go_on() const {
  if (!ended_) return ok_status();
  const std::string path = run_weights_path(folder(), *ended_);
  return failed_precondition("[checkpoint] this run ended at step ", *ended_,
                             " with its weights alone (", path,
                             "); there is nothing to go on from. Another run can start from them: "
                             "--checkpoint.initial_load_path=",
                             path, " with another --job.dump_folder");
}

void ResumePointOfRun::settle_seed() {
  if (config_.training.seed) {
    seed_ = static_cast<std::uint64_t>(*config_.training.seed);
  } else if (reader_) {
    seed_ = reader_->meta().seed;
  } else {
    const std::uint64_t drawn = is_main() ? draw_seed() : 0;
    seed_ = std::stoull(context_.ranks.control().broadcast_text(std::to_string(drawn)));
    TITAN_LOG(INFO) << "[train] training.seed is unset; drew " << seed_;
  }
  fingerprints_["seed"] = std::to_string(seed_);
}

Status ResumePointOfRun::find() {
  if (config_.checkpoint.enable_checkpoint) {
    TITAN_RETURN_IF_ERROR(open_manager());
    TITAN_RETURN_IF_ERROR(open_checkpoint());
    TITAN_RETURN_IF_ERROR(find_end());
  }
  if (!reader_ && !ended_ && !config_.checkpoint.initial_load_path.empty() &&
      !config_.checkpoint.initial_load_model_weights_only)
    TITAN_RETURN_IF_ERROR(open_initial_checkpoint());
  settle_seed();
  return ok_status();
}

Status ResumePointOfRun::load_checkpoint(parallel::FlatParameters& parameters,
                                         optim::AdamW& optimizer, optim::Ema* ema,
                                         bool& averages_loaded) const {
  const checkpoint::CheckpointMeta& meta = reader_->meta();
  // What `titan convert --to=titan` makes, and what torchtitan calls a seed checkpoint.
  const bool weights_alone = meta.step == 0 && !reader_->has_prefix("optim.exp_avg");
  if (!weights_alone) {
    TITAN_RETURN_IF_ERROR(
        checkpoint::check_compatible(meta, fingerprints_, config_.checkpoint.allow_change));
  }
  Items items;
  if (!excluded("model")) append(items, model_items(parameters));
  if (!excluded("optimizer") && !weights_alone) append(items, moment_items(parameters, optimizer));
  averages_loaded = ema != nullptr && reader_->has_prefix("ema") && !excluded("ema");
  if (averages_loaded) append(items, ema_items(parameters, *ema));
  if (foreign_) {
    TITAN_RETURN_IF_ERROR(reader_->load(items));
  } else {
    TITAN_RETURN_IF_ERROR(manager_->load(items, meta.step).status());
  }
  std::string left_out;
  for (const std::string& part : config_.checkpoint.exclude_from_loading)
    left_out += (left_out.empty() ? " without " : ", ") + part;
  TITAN_LOG(INFO) << "[checkpoint] resumed from step " << meta.step << " ("
                  << (foreign_ ? config_.checkpoint.initial_load_path
                               : manager_->step_path(meta.step))
                  << ")" << left_out;
  return ok_status();
}

Status ResumePointOfRun::restore(parallel::FlatParameters& parameters, optim::AdamW& optimizer,
                                 optim::Ema* ema, const WeightFormats& formats) {
  fingerprints_["model"] = model_fingerprint(config_, parameters);
  const std::string& initial = config_.checkpoint.initial_load_path;
  if (ended_ || (!reader_ && initial.empty())) return ok_status();
  bool averages_loaded = false;
  if (reader_) {
    TITAN_RETURN_IF_ERROR(load_checkpoint(parameters, optimizer, ema, averages_loaded));
  } else if (!excluded("model")) {
    TITAN_RETURN_IF_ERROR(load_published_weights(initial, formats, model_items(parameters),
                                                 /*verify=*/is_main()));
  }
  parameters.weights_changed();
  if (ema != nullptr && !averages_loaded) {
    ema->copy_weights();
    if (reader_)
      TITAN_LOG(WARNING) << "[checkpoint] no averages are loaded: they start from the weights";
  }
  return ok_status();
}

Status ResumePointOfRun::write_checkpoint(int64_t step, int64_t cursor,
                                          const parallel::FlatParameters& parameters,
                                          const optim::AdamW& optimizer,
                                          const optim::Ema* ema) const {
  Items items = model_items(parameters);
  append(items, moment_items(parameters, optimizer));
  if (ema != nullptr) append(items, ema_items(parameters, *ema));
  TITAN_RETURN_IF_ERROR(manager_->save({.step = step,
                                        .cursor = cursor,
                                        .seed = seed_,
                                        .world_size = context_.rank.world_size,
                                        .fingerprints = fingerprints_},
                                       items));
  TITAN_RETURN_IF_ERROR(abandon_run_weights(folder(), step));
  TITAN_LOG(INFO) << "[checkpoint] " << manager_->step_path(step);
  return ok_status();
}

Status ResumePointOfRun::write_weights(int64_t step, const parallel::FlatParameters& parameters,
                                       const optim::Ema* ema) const {
  const std::string& type = config_.checkpoint.export_dtype;
  if (ema != nullptr)
    TITAN_RETURN_IF_ERROR(
        save_run_weights(run_averages_path(folder(), step), ema_items(parameters, *ema), type));
  return save_run_weights(run_weights_path(folder(), step), model_items(parameters), type);
}

Status ResumePointOfRun::save(int64_t step, int64_t cursor,
                              const parallel::FlatParameters& parameters,
                              const optim::AdamW& optimizer, const optim::Ema* ema, bool last) {
  Status saved = ok_status();
  if (is_main()) {
    saved = last && config_.checkpoint.model_weights_only
                ? write_weights(step, parameters, ema)
                : write_checkpoint(step, cursor, parameters, optimizer, ema);
  }
  const std::string verdict = context_.ranks.control().broadcast_text(message_of(saved));
  if (is_main()) return saved;
  return verdict.empty() ? ok_status() : internal_error("[checkpoint] rank 0: ", verdict);
}

}  // namespace

StatusOr<std::unique_ptr<ResumePoint>> ResumePoint::open(const TrainerContext& context,
                                                         const Dataset& dataset,
                                                         int64_t global_batch) {
  auto point = std::make_unique<ResumePointOfRun>(
      context, Fingerprints{{"dataset", dataset_fingerprint(context.config, dataset)},
                            {"objective", objective_fingerprint(context.config)},
                            {"global_batch_size", std::to_string(global_batch)}});
  TITAN_RETURN_IF_ERROR(point->find());
  return point;
}

}  // namespace titan
