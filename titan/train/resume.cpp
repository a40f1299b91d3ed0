#include "titan/train/resume.h"

#include <random>
#include <utility>

#include "titan/base/hash.h"
#include "titan/base/log.h"
#include "titan/checkpoint/checkpoint_manager.h"
#include "titan/checkpoint/compatibility.h"
#include "titan/parallel/process_group.h"
#include "titan/train/run_folder.h"

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

std::vector<CheckpointItem> items_of(const parallel::FlatParameters& parameters,
                                     const optim::AdamW& optimizer) {
  std::vector<CheckpointItem> items =
      checkpoint::items_of("model", parameters.units(), &parallel::FlatUnit::master);
  std::vector<at::Tensor> first, second;
  for (const optim::MomentState& moments : optimizer.moments()) {
    first.push_back(moments.exp_avg);
    second.push_back(moments.exp_avg_sq);
  }
  for (auto& more : {checkpoint::items_of("optim.exp_avg", parameters.units(), first),
                     checkpoint::items_of("optim.exp_avg_sq", parameters.units(), second)})
    items.insert(items.end(), more.begin(), more.end());
  return items;
}

class ResumePointOfRun : public ResumePoint {
 public:
  ResumePointOfRun(const TrainerContext& context, Fingerprints fingerprints)
      : context_(context), config_(context.config), fingerprints_(std::move(fingerprints)) {}

  Status find();

  std::uint64_t seed() const override { return seed_; }
  std::optional<int64_t> resumed_step() const override {
    return reader_ ? std::optional(reader_->meta().step) : std::nullopt;
  }
  int64_t cursor() const override { return reader_ ? reader_->meta().cursor : 0; }
  Status restore(parallel::FlatParameters& parameters, optim::AdamW& optimizer,
                 optim::Ema* ema) override;
  Status save(int64_t step, int64_t cursor, const parallel::FlatParameters& parameters,
              const optim::AdamW& optimizer, const optim::Ema* ema) override;

 private:
  Status open_manager();
  Status open_checkpoint();
  void settle_seed();
  bool is_main() const { return context_.rank.is_main(); }

  TrainerContext context_;
  const JobConfig& config_;
  Fingerprints fingerprints_;
  std::optional<checkpoint::CheckpointManager> manager_;
  std::optional<checkpoint::CheckpointReader> reader_;
  std::uint64_t seed_ = 0;
};

/// Every rank opens the folder; rank 0 tidies it first.
Status ResumePointOfRun::open_manager() {
  const std::string folder = (context_.run_folder.path() / config_.checkpoint.folder).string();
  const auto open = [&]() -> Status {
    TITAN_ASSIGN_OR_RETURN(auto manager, checkpoint::CheckpointManager::open(
                                             {.folder = folder,
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
  }
  settle_seed();
  return ok_status();
}

Status ResumePointOfRun::restore(parallel::FlatParameters& parameters, optim::AdamW& optimizer,
                                 optim::Ema* ema) {
  fingerprints_["model"] = model_fingerprint(config_, parameters);
  if (!reader_) return ok_status();
  TITAN_RETURN_IF_ERROR(checkpoint::check_compatible(reader_->meta(), fingerprints_,
                                                     config_.checkpoint.allow_change));
  std::vector<CheckpointItem> items = items_of(parameters, optimizer);
  const bool has_average = reader_->has_prefix("ema");
  if (ema != nullptr && has_average) {
    for (CheckpointItem& item : checkpoint::items_of("ema", parameters.units(), ema->shadows()))
      items.push_back(std::move(item));
  }
  TITAN_ASSIGN_OR_RETURN(const checkpoint::CheckpointMeta meta,
                         manager_->load(items, reader_->meta().step));
  parameters.refresh_compute();
  if (ema != nullptr && !has_average) {
    ema->copy_weights();
    TITAN_LOG(WARNING) << "[checkpoint] no averages in the checkpoint: they start from its weights";
  }
  TITAN_LOG(INFO) << "[checkpoint] resumed from step " << meta.step << " ("
                  << manager_->step_path(meta.step) << ")";
  return ok_status();
}

Status ResumePointOfRun::save(int64_t step, int64_t cursor,
                              const parallel::FlatParameters& parameters,
                              const optim::AdamW& optimizer, const optim::Ema* ema) {
  Status saved = ok_status();
  if (is_main()) {
    std::vector<CheckpointItem> items = items_of(parameters, optimizer);
    if (ema != nullptr) {
      for (CheckpointItem& item : checkpoint::items_of("ema", parameters.units(), ema->shadows()))
        items.push_back(std::move(item));
    }
    saved = manager_->save({.step = step,
                            .cursor = cursor,
                            .seed = seed_,
                            .world_size = context_.rank.world_size,
                            .fingerprints = fingerprints_},
                           items);
    if (saved.ok()) TITAN_LOG(INFO) << "[checkpoint] " << manager_->step_path(step);
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
