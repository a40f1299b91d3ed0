#include "titan/train/trainer.h"

#include <ATen/Context.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "titan/base/log.h"
#include "titan/data/dataloader.h"
#include "titan/optim/lr_schedule.h"
#include "titan/parallel/device_mesh.h"
#include "titan/parallel/process_group.h"
#include "titan/plan/data_view.h"
#include "titan/train/batch_plan.h"
#include "titan/train/between_steps.h"
#include "titan/train/metrics_setup.h"
#include "titan/train/model_setup.h"
#include "titan/train/restart_note.h"
#include "titan/train/run_encoder.h"
#include "titan/train/run_folder.h"
#include "titan/train/run_profiler.h"
#include "titan/train/run_setup.h"
#include "titan/train/signals.h"
#include "titan/train/step_observer.h"

namespace titan {
namespace {

class DiffusionTrainer : public Trainer {
 public:
  explicit DiffusionTrainer(const TrainerContext& context)
      : context_(context), config_(context.config), ranks_(context.ranks) {}

  Status set_up();
  StatusOr<JobOutcome> train() override;

 private:
  Status build_data();
  Status build_model();
  Status restore();
  Status open_mlperf_log();
  void open_watch();
  StatusOr<JobOutcome> train_steps();
  void note_restart();
  void say_time_limit() const;
  StatusOr<Batch> next_batch(int64_t number);
  StatusOr<StepResult> train_step();
  Status report(const StepResult& result);
  Status check_finite();
  Status save_checkpoint();
  Status do_work(const PutOff& due);
  StatusOr<JobOutcome> stop();
  StatusOr<JobOutcome> finish();
  bool last_step() const { return step_ >= config_.training.steps || target_met_.has_value(); }
  std::string finished_text() const;
  bool is_main() const { return context_.rank.is_main(); }

  TrainerContext context_;
  const JobConfig& config_;
  parallel::ProcessGroupGuard& ranks_;

  ModelSpec spec_;
  std::optional<parallel::DeviceMesh> mesh_;
  BatchPlan batches_;
  std::shared_ptr<const Dataset> dataset_;
  DataShape shape_;
  std::unique_ptr<ResumePoint> resume_;
  std::unique_ptr<RunEncoder> encoder_;  ///< null where samples come encoded
  std::unique_ptr<TrainStep> training_;
  std::unique_ptr<RunProfiler> profiler_;
  std::unique_ptr<DataLoader> loader_;
  std::unique_ptr<metrics::MetricsProcessor> metrics_;
  std::unique_ptr<RunPictures> pictures_;
  std::unique_ptr<FiniteGuard> guard_;
  std::unique_ptr<RunEvaluation> evaluation_;
  std::optional<double> target_met_;  ///< the evaluation loss that ended the run
  const int64_t init_began_ms_ = metrics::mllog_time_ms();
  std::unique_ptr<MlperfLog> mlperf_;
  int64_t step_ = 0;         ///< optimizer steps done
  int64_t cursor_ = 0;       ///< global samples consumed
  int64_t saved_step_ = -1;  ///< step of the newest checkpoint of this process
  double data_wait_s_ = 0;   ///< loader's wait as of the previous step
  PutOff put_off_;           ///< by the process before this one, after `step_`
  std::optional<StopTimes> times_;
  std::optional<StopRequest> stop_;
  std::unique_ptr<RunWatch> watch_;
  std::optional<BetweenSteps> between_;
};

Status DiffusionTrainer::set_up() {
  TITAN_ASSIGN_OR_RETURN(spec_, complete_spec(config_));
  TITAN_RETURN_IF_ERROR(check_converters(config_, context_.device));
  TITAN_ASSIGN_OR_RETURN(
      const parallel::ParallelDims dims,
      parallel::resolve_parallel_dims(config_.parallelism, context_.rank.world_size));
  mesh_.emplace(dims, context_.rank.rank);
  TITAN_ASSIGN_OR_RETURN(
      batches_, plan_batches(config_.training.batch_size, config_.training.global_batch_size,
                             mesh_->dp_size()));
  if (config_.training.deterministic)
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  TITAN_RETURN_IF_ERROR(build_data());
  TITAN_ASSIGN_OR_RETURN(resume_, ResumePoint::open(context_, *dataset_, batches_.global_batch));
  TITAN_RETURN_IF_ERROR(build_model());
  TITAN_RETURN_IF_ERROR(restore());
  target_met_ = target_met_before(context_, step_);
  put_off_ = put_off_before(context_, step_);
  if (last_step() && !put_off_.any()) return ok_status();
  TITAN_RETURN_IF_ERROR(resume_->check_can_go_on());
  TITAN_RETURN_IF_ERROR(write_job_info(context_, shape_, *dataset_, resume_->seed()));
  TITAN_ASSIGN_OR_RETURN(evaluation_, RunEvaluation::open(context_, spec_, shape_, encoder_.get(),
                                                          batches_.global_batch));
  TITAN_RETURN_IF_ERROR(open_mlperf_log());
  TITAN_ASSIGN_OR_RETURN(
      loader_, DataLoader::create(
                   dataset_, loader_options(config_, *mesh_, batches_, cursor_, resume_->seed())));
  open_watch();
  profiler_ = std::make_unique<RunProfiler>(config_.profiling, context_.device, context_.rank.rank,
                                            context_.run_folder.path());
  TITAN_ASSIGN_OR_RETURN(const ModelFlops flops, spec_.flops ? spec_.flops(config_, shape_)
                                                             : StatusOr<ModelFlops>(ModelFlops{}));
  TITAN_ASSIGN_OR_RETURN(
      metrics_, make_metrics(context_, {.resumed_step = resume_->resumed_step(),
                                        .samples_before = cursor_,
                                        .flops_per_sample = static_cast<double>(flops.train),
                                        .sample_shape = shape_.image}));
  guard_ = std::make_unique<FiniteGuard>(
      config_.training, ranks_.control(),
      [dataset = dataset_](int64_t index) { return dataset->describe(index); });
  pictures_ = std::make_unique<RunPictures>(
      context_, spec_, shape_, dataset_, evaluation_->dataset(), encoder_.get(), resume_->seed());
  between_.emplace(BetweenStepsParts{.config = config_,
                                     .training = *training_,
                                     .evaluation = *evaluation_,
                                     .pictures = *pictures_,
                                     .resume = *resume_,
                                     .metrics = *metrics_,
                                     .mlperf = *mlperf_,
                                     .watch = *watch_,
                                     .stop = *stop_,
                                     .times = *times_});
  return ok_status();
}

Status DiffusionTrainer::build_data() {
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> dataset, spec_.dataset(config_));
  dataset_ = std::move(dataset);
  TITAN_ASSIGN_OR_RETURN(DataView view, view_of(*dataset_, config_, spec_));
  shape_ = view.shape;
  TITAN_LOG(INFO) << "[data] " << config_.training.dataset << ": " << dataset_->size()
                  << " samples of " << to_string(shape_)
                  << (view.encoded ? ", encoded while training" : "");
  return check_job_fits(context_, spec_, *mesh_, batches_, std::move(view));
}

Status DiffusionTrainer::build_model() {
  const parallel::OpenGroup open = [&](const std::string& name, const std::vector<int64_t>& ranks) {
    return ranks_.open_group(name, ranks);
  };
  TITAN_ASSIGN_OR_RETURN(encoder_, RunEncoder::open(config_, spec_, *mesh_, open, context_.device));
  TITAN_ASSIGN_OR_RETURN(training_, TrainStep::create({.config = config_,
                                                       .spec = spec_,
                                                       .shape = shape_,
                                                       .mesh = *mesh_,
                                                       .open = open,
                                                       .device = context_.device,
                                                       .encoder = encoder_.get(),
                                                       .batches = batches_,
                                                       .seed = resume_->seed()}));
  TITAN_LOG(INFO) << "[model] " << config_.model.name << " " << config_.model.flavor << ": "
                  << training_->parameters().num_parameters() << " parameters; global batch "
                  << batches_.global_batch << " = " << mesh_->dp_size() << " ranks x "
                  << batches_.micro_batch << " samples x " << batches_.accumulation
                  << " micro-batches";
  for (const std::string& warning :
       optim::lr_schedule_warnings(config_.lr_scheduler, config_.training.steps))
    TITAN_LOG(WARNING) << "[lr] " << warning;
  return ok_status();
}

Status DiffusionTrainer::restore() {
  TITAN_RETURN_IF_ERROR(resume_->restore(training_->parameters(), training_->optimizer(),
                                         training_->ema(), *spec_.weight_formats));
  step_ = resume_->resumed_step().value_or(0);
  cursor_ = resume_->cursor();
  saved_step_ = resume_->resumed_step().value_or(-1);
  return ok_status();
}

std::string DiffusionTrainer::finished_text() const {
  if (target_met_) {
    return str_cat("its evaluation loss of ", *target_met_, " at step ", step_,
                   " met eval.target_eval_loss=", config_.eval.target_eval_loss,
                   "; a lower target goes on");
  }
  return str_cat("step ", step_, " of ", config_.training.steps, "; --training.steps=N goes on");
}

/// Everything but the data is ready: MLPerf's clock starts before the loader reads its first
/// sample.
Status DiffusionTrainer::open_mlperf_log() {
  const int64_t subset = config_.training.subset_size.value_or(0);
  TITAN_ASSIGN_OR_RETURN(
      mlperf_,
      MlperfLog::open(
          config_, is_main(), context_.run_folder.mlperf_path().string(),
          {.init_began_ms = init_began_ms_,
           .train_samples = subset > 0 ? std::min(subset, dataset_->size()) : dataset_->size(),
           .eval_samples = evaluation_->num_samples(),
           .seed = resume_->seed(),
           .global_batch = batches_.global_batch,
           .micro_batch = batches_.micro_batch,
           .accumulation = batches_.accumulation,
           .samples_between_evals = evaluation_->steps_between() * batches_.global_batch,
           .cursor = cursor_}));
  if (config_.metrics.mlperf_logging) ranks_.control().barrier();
  mlperf_->run_start();
  return ok_status();
}

void DiffusionTrainer::open_watch() {
  std::vector<std::string> units;
  for (const parallel::FlatUnit& unit : training_->parameters().units()) units.push_back(unit.name);
  watch_ = std::make_unique<RunWatch>(context_, std::move(units));
  // Weights, two moments and averages in four bytes each: more than most settings write.
  const double state_bytes = 16.0 * static_cast<double>(training_->parameters().num_parameters());
  times_.emplace(static_cast<double>(config_.job.time_margin_seconds),
                 state_bytes / context_.rank.world_size, config_.checkpoint.enable_checkpoint);
  stop_.emplace(ranks_.control(),
                Deadline::of_job(config_.job, job_began_s(), Clocks::of_machine(),
                                 [](const char* name) { return std::getenv(name); }),
                requested_signal);
}

/// Whatever ends the steps too early leaves a trace of the last ones, and says where it happened.
StatusOr<JobOutcome> DiffusionTrainer::train() {
  if (last_step() && !put_off_.any()) {
    TITAN_LOG(INFO) << "[train] this run is finished (" << finished_text()
                    << ", another --job.dump_folder starts anew)";
    return JobOutcome::kDone;
  }
  try {
    const StatusOr<JobOutcome> outcome = train_steps();
    if (outcome.ok()) return outcome;
    watch_->trace().write(message_of(outcome.status()));
    return Status(outcome.status().code(),
                  str_cat(message_of(outcome.status()), "\n  [train] ", watch_->where()));
  } catch (const std::exception& error) {
    if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr)
      profiler_->out_of_memory(step_ + 1);
    watch_->trace().write(error.what());
    throw Error(str_cat(error.what(), "\n  [train] ", watch_->where()));
  }
}

StatusOr<JobOutcome> DiffusionTrainer::train_steps() {
  training_->model().train();
  metrics_->start();
  note_restart();
  say_time_limit();
  TITAN_RETURN_IF_ERROR(do_work(between_->still_due(step_, put_off_)));
  const int64_t first_step = step_ + 1;
  while (!last_step()) {
    if (between_->stop_agreed(step_)) return stop();
    const auto timer = times_->start();
    mlperf_->before_step(cursor_);
    watch_->begin_step(step_ + 1, cursor_);
    profiler_->begin_step(step_ + 1);
    if (context_.observer) context_.observer->before_step(step_ + 1, *training_);
    TITAN_ASSIGN_OR_RETURN(const StepResult result, train_step());
    const bool go_on =
        !context_.observer || context_.observer->after_step(step_ + 1, result, *training_);
    watch_->end_step();
    ++step_;
    profiler_->end_step(step_);
    cursor_ += batches_.global_batch;
    if (step_ == first_step) ranks_.use_train_timeout();
    TITAN_RETURN_IF_ERROR(report(result));
    if (!go_on) return finish();
    TITAN_RETURN_IF_ERROR(resume_->poll());
    times_->step(timer.seconds());
    TITAN_RETURN_IF_ERROR(do_work(between_->due(step_)));
    const bool due = step_ % config_.checkpoint.interval == 0 || last_step();
    if (config_.checkpoint.enable_checkpoint && due) TITAN_RETURN_IF_ERROR(save_checkpoint());
  }
  if (between_->left().any()) return stop();
  // The run had ended but for this: its full checkpoint is there, not what it is to leave behind.
  const bool ended_before = put_off_.any() && step_ < first_step;
  if (ended_before && config_.checkpoint.enable_checkpoint && config_.checkpoint.model_weights_only)
    TITAN_RETURN_IF_ERROR(save_checkpoint());
  return finish();
}

Status DiffusionTrainer::do_work(const PutOff& due) {
  TITAN_RETURN_IF_ERROR(between_->work(step_, cursor_, due));
  if (between_->target_met()) target_met_ = between_->target_met();
  return ok_status();
}

StatusOr<JobOutcome> DiffusionTrainer::stop() {
  if (config_.checkpoint.enable_checkpoint && saved_step_ != step_ && step_ > 0)
    TITAN_RETURN_IF_ERROR(save_checkpoint());
  TITAN_RETURN_IF_ERROR(resume_->finish());
  metrics_->finish();
  mlperf_->run_stop(/*success=*/false, cursor_);
  if (!is_main()) return JobOutcome::kStopped;
  const std::string left =
      between_->left().any() ? str_cat("; put off: ", between_->left().text()) : "";
  const char* const how_on = !config_.checkpoint.enable_checkpoint
                                 ? "; checkpoints are off, nothing was saved"
                             : step_ > 0 ? "; the same command goes on from its checkpoint"
                                         : "; there was nothing to save yet";
  TITAN_LOG(WARNING) << "[train] stopped after step " << step_ << " " << stop_->reason() << left
                     << how_on;
  return JobOutcome::kStopped;
}

StatusOr<JobOutcome> DiffusionTrainer::finish() {
  const auto phase = watch_->enter(RunWatch::Phase::kEnd);
  TITAN_RETURN_IF_ERROR(resume_->finish());
  metrics_->finish();
  mlperf_->run_stop(target_met_.has_value(), cursor_);
  if (config_.trace.enable && ranks_.world_size() > 1) {
    char share[16];
    std::snprintf(share, sizeof share, "%.1f", 100 * watch_->trace().exposed_share());
    TITAN_LOG(INFO) << "[trace] the last " << config_.trace.keep_steps << " steps waited " << share
                    << " % of their time for other ranks";
  }
  TITAN_LOG(INFO) << "[train] done: " << step_ << " steps, " << cursor_ << " samples"
                  << (target_met_ ? str_cat("; the evaluation loss ", *target_met_,
                                            " met the target ", config_.eval.target_eval_loss)
                                  : "");
  return JobOutcome::kDone;
}

void DiffusionTrainer::note_restart() {
  const RestartNote note = restart_note();
  if (note.number == 0) return;
  metrics_->event({.step = step_,
                   .name = "restart",
                   .values = {{"number", int64_t{note.number}}, {"cause", note.cause}}});
}

void DiffusionTrainer::say_time_limit() const {
  const Deadline& deadline = stop_->deadline();
  if (!is_main() || !deadline.set()) return;
  const double left = deadline.remaining_s(), needed = times_->needed_s({.step = true});
  TITAN_LOG(INFO) << "[train] " << std::llround(left) << " s are left (" << deadline.source()
                  << "); the run begins to stop in time";
  if (left < needed)
    TITAN_LOG(WARNING) << "[train] too little for even one step and its checkpoint, which need "
                       << std::llround(needed) << " s";
}

StatusOr<Batch> DiffusionTrainer::next_batch(int64_t number) {
  const TraceSpan span("data");
  TITAN_ASSIGN_OR_RETURN(Batch batch, loader_->next());
  if (context_.observer) context_.observer->on_batch(batch);
  const int64_t local_batch = batches_.global_batch / mesh_->dp_size();
  watch_->batch(cursor_ + mesh_->dp_rank() * local_batch + number * batches_.micro_batch,
                batches_.micro_batch, [this, sample = batch.sample] {
                  return dataset_->describe(sample.contiguous().const_data_ptr<int64_t>()[0]);
                });
  return batch;
}

StatusOr<StepResult> DiffusionTrainer::train_step() {
  const double lr =
      config_.optimizer.lr * optim::lr_multiplier(config_.lr_scheduler, config_.training.steps,
                                                  step_ - resume_->lr_origin());
  StepMark::write(step_ + 1);
  return training_->run(
      step_ + 1, lr, [this, number = int64_t{0}]() mutable { return next_batch(number++); },
      guard_.get());
}

Status DiffusionTrainer::report(const StepResult& result) {
  const double waited_s = loader_->stats().wait_s;
  const auto record = metrics_->step({.step = step_,
                                      .samples = batches_.global_batch,
                                      .loss = result.loss,
                                      .loss_max = {},
                                      .grad_norm = result.grad_norm,
                                      .lr = result.lr,
                                      .data_wait_s = waited_s - data_wait_s_});
  data_wait_s_ = waited_s;
  if (record) mlperf_->record(*record);
  // On a GPU the host looks only where it waits for the device anyway.
  return record || context_.device.is_cpu() ? check_finite() : ok_status();
}

Status DiffusionTrainer::check_finite() {
  TITAN_ASSIGN_OR_RETURN(const std::vector<NonfiniteStep> skipped, guard_->check());
  for (const NonfiniteStep& one : skipped) {
    if (is_main()) {
      TITAN_LOG(WARNING) << "[train] step " << one.step << " left out: " << one.cause << " ("
                         << guard_->skipped() << " so far)";
    }
    metrics_->event({.step = one.step, .name = "nonfinite", .values = {{"cause", one.cause}}});
  }
  return ok_status();
}

Status DiffusionTrainer::save_checkpoint() {
  TITAN_RETURN_IF_ERROR(check_finite());
  TITAN_RETURN_IF_ERROR(between_->save(step_, cursor_, last_step()));
  saved_step_ = step_;
  return ok_status();
}

}  // namespace

StatusOr<std::unique_ptr<Trainer>> Trainer::create(const TrainerContext& context) {
  auto trainer = std::make_unique<DiffusionTrainer>(context);
  TITAN_RETURN_IF_ERROR(trainer->set_up());
  return trainer;
}

}  // namespace titan
