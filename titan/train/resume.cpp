#include "titan/train/resume.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include "titan/base/log.h"
#include "titan/checkpoint/checkpoint_manager.h"
#include "titan/parallel/process_group.h"
#include "titan/train/resume_state.h"
#include "titan/train/run_folder.h"
#include "titan/train/run_weights.h"

namespace titan {
namespace {

using Fingerprints = std::map<std::string, std::string>;

std::uint64_t draw_seed() {
  std::random_device device;
  // 53 bits: the seed survives every JSON and TOML reader.
  return ((static_cast<std::uint64_t>(device()) << 32) | device()) >> 11;
}

/// More do not help: a core or two keep a disk busy, and memory.
int io_threads() { return std::min(at::get_num_threads(), 8); }

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
  Status poll() override;
  Status finish() override;

 private:
  Status open_manager();
  Status open_checkpoint();
  Status open_foreign_checkpoint();
  Status find_end();
  void settle_seed();
  Status load_checkpoint(parallel::FlatParameters& parameters, optim::AdamW& optimizer,
                         optim::Ema* ema, bool& averages_loaded) const;
  CheckpointItems state_items(const parallel::FlatParameters& parameters,
                              const optim::AdamW& optimizer, const optim::Ema* ema) const;
  Status write_checkpoint(int64_t step, int64_t cursor, const CheckpointItems& items, bool wait);
  Status write_weights(int64_t step, const parallel::FlatParameters& parameters,
                       const optim::Ema* ema) const;
  Status note_complete(int64_t step) const;
  checkpoint::RankGroup ranks() const;
  bool saves_beside() const { return config_.checkpoint.async_mode == "async"; }
  bool is_main() const { return context_.rank.is_main(); }
  bool excluded(const std::string& part) const { return excluded_from_loading(config_, part); }
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

/// Checkpoints talk over the control group, from training's thread alone.
checkpoint::RankGroup ResumePointOfRun::ranks() const {
  checkpoint::RankGroup group{context_.rank.rank};
  if (context_.rank.world_size > 1) {
    group.exchange = [&control = context_.ranks.control()](
                         const std::string& text) -> StatusOr<std::vector<std::string>> {
      return control.all_gather_text(text);
    };
  }
  return group;
}

Status ResumePointOfRun::open_manager() {
  TITAN_ASSIGN_OR_RETURN(auto manager, checkpoint::CheckpointManager::open(
                                           {.folder = folder(),
                                            .keep_latest_k = config_.checkpoint.keep_latest_k,
                                            .rank = context_.rank.rank,
                                            .exchange = ranks().exchange,
                                            .threads = io_threads()}));
  manager_.emplace(std::move(manager));
  return ok_status();
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
Status ResumePointOfRun::open_foreign_checkpoint() {
  TITAN_ASSIGN_OR_RETURN(auto reader, open_initial_checkpoint(config_));
  reader_.emplace(std::move(reader));
  foreign_ = true;
  return ok_status();
}

/// Weights alone that are newer than every checkpoint: the end of this run.
Status ResumePointOfRun::find_end() {
  TITAN_ASSIGN_OR_RETURN(
      ended_, find_run_end(config_, folder(),
                           reader_ ? std::optional(reader_->meta().step) : std::nullopt));
  return ok_status();
}

Status ResumePointOfRun::check_can_go_on() const {
  return ended_ ? run_has_ended(folder(), *ended_) : ok_status();
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
    TITAN_RETURN_IF_ERROR(open_foreign_checkpoint());
  settle_seed();
  return ok_status();
}

Status ResumePointOfRun::load_checkpoint(parallel::FlatParameters& parameters,
                                         optim::AdamW& optimizer, optim::Ema* ema,
                                         bool& averages_loaded) const {
  const checkpoint::CheckpointMeta& meta = reader_->meta();
  const bool weights_alone = holds_weights_alone(*reader_);
  TITAN_RETURN_IF_ERROR(check_goes_on(*reader_, fingerprints_, config_));
  CheckpointItems items;
  if (!excluded("model")) append(items, model_items(parameters));
  if (!excluded("optimizer") && !weights_alone) append(items, moment_items(parameters, optimizer));
  averages_loaded = ema != nullptr && reader_->has_prefix("ema") && !excluded("ema");
  if (averages_loaded) append(items, ema_items(parameters, *ema));
  if (foreign_) {
    TITAN_RETURN_IF_ERROR(checkpoint::load_together(*reader_, items, ranks(), io_threads()));
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

CheckpointItems ResumePointOfRun::state_items(const parallel::FlatParameters& parameters,
                                              const optim::AdamW& optimizer,
                                              const optim::Ema* ema) const {
  CheckpointItems items = model_items(parameters);
  append(items, moment_items(parameters, optimizer));
  if (ema != nullptr) append(items, ema_items(parameters, *ema));
  return items;
}

Status ResumePointOfRun::restore(parallel::FlatParameters& parameters, optim::AdamW& optimizer,
                                 optim::Ema* ema, const WeightFormats& formats) {
  TITAN_ASSIGN_OR_RETURN(const std::vector<TensorSpec> model, whole_model(parameters, ranks()));
  fingerprints_["model"] = model_fingerprint(config_, model);
  if (manager_ && saves_beside() && !ended_)
    TITAN_RETURN_IF_ERROR(manager_->reserve(state_items(parameters, optimizer, ema)));
  const std::string& initial = config_.checkpoint.initial_load_path;
  if (ended_ || (!reader_ && initial.empty())) return ok_status();
  bool averages_loaded = false;
  if (reader_) {
    TITAN_RETURN_IF_ERROR(load_checkpoint(parameters, optimizer, ema, averages_loaded));
  } else if (!excluded("model")) {
    TITAN_RETURN_IF_ERROR(load_published_weights(initial, formats, model_items(parameters), model,
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

Status ResumePointOfRun::note_complete(int64_t step) const {
  if (is_main()) TITAN_RETURN_IF_ERROR(abandon_run_weights(folder(), step));
  TITAN_LOG(INFO) << "[checkpoint] " << manager_->step_path(step);
  return ok_status();
}

Status ResumePointOfRun::write_checkpoint(int64_t step, int64_t cursor,
                                          const CheckpointItems& items, bool wait) {
  const checkpoint::CheckpointMeta meta{.step = step,
                                        .cursor = cursor,
                                        .seed = seed_,
                                        .world_size = context_.rank.world_size,
                                        .fingerprints = fingerprints_};
  if (!saves_beside()) {
    TITAN_RETURN_IF_ERROR(manager_->save(meta, items));
    return note_complete(step);
  }
  const auto began = std::chrono::steady_clock::now();
  TITAN_RETURN_IF_ERROR(manager_->start_save(meta, items));
  const std::chrono::duration<double, std::milli> copied = std::chrono::steady_clock::now() - began;
  TITAN_LOG(INFO) << "[checkpoint] step " << step << ": training paused " << copied.count()
                  << " ms for the copy; it is written beside training";
  return wait ? finish() : ok_status();
}

Status ResumePointOfRun::poll() {
  if (!manager_) return ok_status();
  TITAN_ASSIGN_OR_RETURN(const std::optional<int64_t> step, manager_->poll());
  return step ? note_complete(*step) : ok_status();
}

Status ResumePointOfRun::finish() {
  if (!manager_) return ok_status();
  TITAN_ASSIGN_OR_RETURN(const std::optional<int64_t> step, manager_->finish());
  return step ? note_complete(*step) : ok_status();
}

Status ResumePointOfRun::write_weights(int64_t step, const parallel::FlatParameters& parameters,
                                       const optim::Ema* ema) const {
  const std::string& type = config_.checkpoint.export_dtype;
  if (ema != nullptr)
    TITAN_RETURN_IF_ERROR(save_run_weights(run_averages_path(folder(), step),
                                           ema_items(parameters, *ema), type, ranks()));
  return save_run_weights(run_weights_path(folder(), step), model_items(parameters), type, ranks());
}

Status ResumePointOfRun::save(int64_t step, int64_t cursor,
                              const parallel::FlatParameters& parameters,
                              const optim::AdamW& optimizer, const optim::Ema* ema, bool last) {
  if (!last || !config_.checkpoint.model_weights_only)
    return write_checkpoint(step, cursor, state_items(parameters, optimizer, ema), /*wait=*/last);
  TITAN_RETURN_IF_ERROR(finish());
  return write_weights(step, parameters, ema);
}

}  // namespace

StatusOr<std::unique_ptr<ResumePoint>> ResumePoint::open(const TrainerContext& context,
                                                         const Dataset& dataset,
                                                         int64_t global_batch) {
  auto point = std::make_unique<ResumePointOfRun>(
      context, run_fingerprints(context.config, dataset, global_batch));
  TITAN_RETURN_IF_ERROR(point->find());
  return point;
}

}  // namespace titan
