#include "titan/train/trainer.h"

#include <ATen/Context.h>
#include <c10/util/Exception.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "titan/base/log.h"
#include "titan/data/dataloader.h"
#include "titan/metrics/metrics_processor.h"
#include "titan/optim/lr_schedule.h"
#include "titan/parallel/cuda_library.h"
#include "titan/parallel/device_mesh.h"
#include "titan/parallel/device_services.h"
#include "titan/parallel/process_group.h"
#include "titan/plan/data_view.h"
#include "titan/plan/fit.h"
#include "titan/train/batch_plan.h"
#include "titan/train/metrics_setup.h"
#include "titan/train/mlperf_log.h"
#include "titan/train/model_setup.h"
#include "titan/train/resume.h"
#include "titan/train/run_encoder.h"
#include "titan/train/run_evaluation.h"
#include "titan/train/run_folder.h"
#include "titan/train/run_info.h"
#include "titan/train/run_pictures.h"
#include "titan/train/run_profiler.h"
#include "titan/train/run_trace.h"
#include "titan/train/signals.h"
#include "titan/train/step_observer.h"
#include "titan/train/train_step.h"

namespace titan {
namespace {

class DiffusionTrainer : public Trainer {
 public:
  explicit DiffusionTrainer(const TrainerContext& context)
      : context_(context), config_(context.config), ranks_(context.ranks) {}

  ~DiffusionTrainer() override;
  Status set_up();
  StatusOr<JobOutcome> train() override;

 private:
  Status build_data();
  Status check_fits(DataView data) const;
  Status build_model();
  Status restore();
  Status write_info() const;
  Status build_loader();
  Status open_mlperf_log();
  void open_trace();
  StatusOr<JobOutcome> train_steps();
  StatusOr<Batch> next_batch();
  StatusOr<StepResult> train_step();
  Status report(const StepResult& result);
  Status check_finite();
  Status evaluate();
  template <class Draw>
  Status with_sampling_weights(const Draw& draw);
  Status save_checkpoint();
  bool stop_agreed();
  bool due(int64_t every) const { return step_ % every == 0 || step_ == config_.training.steps; }
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
  std::unique_ptr<RunTrace> trace_;
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
  if (step_ >= config_.training.steps || target_met_) return ok_status();
  TITAN_RETURN_IF_ERROR(resume_->check_can_go_on());
  TITAN_RETURN_IF_ERROR(write_info());
  TITAN_ASSIGN_OR_RETURN(evaluation_, RunEvaluation::open(context_, spec_, shape_, encoder_.get(),
                                                          batches_.global_batch));
  TITAN_RETURN_IF_ERROR(open_mlperf_log());
  TITAN_RETURN_IF_ERROR(build_loader());
  open_trace();
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
  return check_fits(std::move(view));
}

Status DiffusionTrainer::check_fits(DataView data) const {
  const parallel::DeviceServices* services = parallel::device_services();
  const int64_t capacity =
      services != nullptr && context_.device.is_cuda()
          ? services->memory_stats(context_.device.index()).capacity -
                parallel::device_memory(context_.device.index()).held_by_others()
          : 0;
  return plan::check_fits(spec_, std::move(data),
                          {.name = "configured",
                           .config = config_,
                           .dims = mesh_->dims(),
                           .micro_batch = batches_.micro_batch,
                           .accumulation = batches_.accumulation,
                           .device = context_.device.type()},
                          plan::memory_limit(config_, context_.device.type(), capacity,
                                             context_.rank.local_world_size));
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

Status DiffusionTrainer::write_info() const {
  if (!is_main()) return ok_status();
  const parallel::DeviceServices* services = parallel::device_services();
  return write_run_info(context_.run_folder,
                        {.arguments = context_.arguments,
                         .description = config_.job.description,
                         .device = services != nullptr && context_.device.is_cuda()
                                       ? services->name(context_.device.index())
                                       : context_.device.str(),
                         .libtorch_version = TORCH_VERSION,
                         .rank = context_.rank,
                         .seed = resume_->seed(),
                         .sample_shape = shape_.image,
                         .sample_fields = shape_.fields,
                         .num_classes = shape_.num_classes,
                         .class_names = dataset_->class_names()});
}

Status DiffusionTrainer::build_loader() {
  TITAN_ASSIGN_OR_RETURN(
      loader_,
      DataLoader::create(dataset_, {.micro_batch = batches_.micro_batch,
                                    .global_batch = batches_.global_batch,
                                    .dp_rank = static_cast<int>(mesh_->dp_rank()),
                                    .dp_size = static_cast<int>(mesh_->dp_size()),
                                    .start_cursor = cursor_,
                                    .seed = resume_->seed(),
                                    .shuffle = config_.training.shuffle,
                                    .num_workers = config_.dataset.num_workers,
                                    .prefetch_batches = config_.dataset.prefetch_batches,
                                    .max_broken_share = config_.dataset.max_broken_share,
                                    .subset_size = config_.training.subset_size.value_or(0)}));
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

void DiffusionTrainer::open_trace() {
  metrics::TraceOwner owner{.rank = context_.rank.rank};
  for (const parallel::FlatUnit& unit : training_->parameters().units())
    owner.units.push_back(unit.name);
  // Half of what ranks wait for each other: the trace is there before they give up.
  const std::chrono::milliseconds stall_after(500 * config_.comm.train_timeout_seconds);
  trace_ = std::make_unique<RunTrace>(config_.trace, std::move(owner),
                                      context_.run_folder.trace_path().string(), stall_after);
  ranks_.on_peer_failure([this](const parallel::RankFailure& failure) {
    trace_->write(str_cat("rank ", failure.rank, " failed: ", failure.cause));
  });
}

DiffusionTrainer::~DiffusionTrainer() { ranks_.on_peer_failure({}); }

/// Whatever ends the steps too early leaves a trace of the last ones.
StatusOr<JobOutcome> DiffusionTrainer::train() {
  try {
    StatusOr<JobOutcome> outcome = train_steps();
    if (!outcome.ok() && trace_) trace_->write(message_of(outcome.status()));
    return outcome;
  } catch (const c10::OutOfMemoryError& error) {
    if (profiler_) profiler_->out_of_memory(step_ + 1);
    if (trace_) trace_->write(error.what());
    throw;
  } catch (const std::exception& error) {
    if (trace_) trace_->write(error.what());
    throw;
  }
}

StatusOr<JobOutcome> DiffusionTrainer::train_steps() {
  if (step_ >= config_.training.steps || target_met_) {
    TITAN_LOG(INFO) << "[train] this run is finished (" << finished_text()
                    << ", another --job.dump_folder starts anew)";
    return JobOutcome::kDone;
  }
  training_->model().train();
  metrics_->start();
  const int64_t first_step = step_ + 1;
  while (step_ < config_.training.steps && !target_met_) {
    mlperf_->before_step(cursor_);
    trace_->begin_step(step_ + 1);
    profiler_->begin_step(step_ + 1);
    if (context_.observer) context_.observer->before_step(step_ + 1, *training_);
    TITAN_ASSIGN_OR_RETURN(const StepResult result, train_step());
    const bool go_on =
        !context_.observer || context_.observer->after_step(step_ + 1, result, *training_);
    trace_->end_step();
    ++step_;
    profiler_->end_step(step_);
    cursor_ += batches_.global_batch;
    if (step_ == first_step) ranks_.use_train_timeout();
    TITAN_RETURN_IF_ERROR(report(result));
    if (!go_on) break;
    TITAN_RETURN_IF_ERROR(resume_->poll());
    if (evaluation_->due(step_)) TITAN_RETURN_IF_ERROR(evaluate());
    if (pictures_->due(step_))
      TITAN_RETURN_IF_ERROR(
          with_sampling_weights([&] { return pictures_->draw(training_->runner(), step_); }));
    if (config_.checkpoint.enable_checkpoint && (due(config_.checkpoint.interval) || target_met_)) {
      TITAN_RETURN_IF_ERROR(save_checkpoint());
    }
    if (stop_agreed()) {
      if (config_.checkpoint.enable_checkpoint && saved_step_ != step_)
        TITAN_RETURN_IF_ERROR(save_checkpoint());
      TITAN_RETURN_IF_ERROR(resume_->finish());
      metrics_->finish();
      mlperf_->run_stop(/*success=*/false, cursor_);
      TITAN_LOG(WARNING) << "[train] stopped by a signal after step " << step_
                         << (config_.checkpoint.enable_checkpoint
                                 ? "; the same command goes on from its checkpoint"
                                 : "; checkpoints are off, nothing was saved");
      return JobOutcome::kStopped;
    }
  }
  TITAN_RETURN_IF_ERROR(resume_->finish());
  metrics_->finish();
  mlperf_->run_stop(target_met_.has_value(), cursor_);
  if (config_.trace.enable && ranks_.world_size() > 1) {
    char share[16];
    std::snprintf(share, sizeof share, "%.1f", 100 * trace_->exposed_share());
    TITAN_LOG(INFO) << "[trace] the last " << config_.trace.keep_steps << " steps waited " << share
                    << " % of their time for other ranks";
  }
  TITAN_LOG(INFO) << "[train] done: " << step_ << " steps, " << cursor_ << " samples"
                  << (target_met_ ? str_cat("; the evaluation loss ", *target_met_,
                                            " met the target ", config_.eval.target_eval_loss)
                                  : "");
  return JobOutcome::kDone;
}

StatusOr<Batch> DiffusionTrainer::next_batch() {
  const TraceSpan span("data");
  TITAN_ASSIGN_OR_RETURN(Batch batch, loader_->next());
  if (context_.observer) context_.observer->on_batch(batch);
  return batch;
}

StatusOr<StepResult> DiffusionTrainer::train_step() {
  const double lr =
      config_.optimizer.lr * optim::lr_multiplier(config_.lr_scheduler, config_.training.steps,
                                                  step_ - resume_->lr_origin());
  return training_->run(
      step_ + 1, lr, [this] { return next_batch(); }, guard_.get());
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

Status DiffusionTrainer::evaluate() {
  const auto pause = metrics_->pause();
  mlperf_->eval_start(cursor_);
  training_->model().eval();
  const StatusOr<EvaluationResult> result =
      evaluation_->run(training_->runner(), training_->objective());
  training_->model().train();
  TITAN_RETURN_IF_ERROR(result.status());
  mlperf_->eval_stop(cursor_, result->loss);
  metrics_->eval(eval_record(*result, step_, cursor_));
  if (pictures_->after_evaluation())
    TITAN_RETURN_IF_ERROR(with_sampling_weights(
        [&] { return pictures_->draw_after_evaluation(training_->runner(), step_); }));
  if (!evaluation_->meets_target(*result)) return ok_status();
  target_met_ = result->loss;
  mlperf_->run_stop(/*success=*/true, cursor_);  // what is saved now is not part of the time
  metrics_->event({.step = step_, .name = "target", .values = {{"loss", result->loss}}});
  return ok_status();
}

/// Draws with the weights that [sampling] asks for.
template <class Draw>
Status DiffusionTrainer::with_sampling_weights(const Draw& draw) {
  const auto pause = metrics_->pause();
  const optim::Ema::Scope averaged(config_.sampling.use_ema ? training_->ema() : nullptr);
  training_->model().eval();
  const Status status = draw();
  training_->model().train();
  if (status.ok()) metrics_->event({.step = step_, .name = "sample", .values = {}});
  return status;
}

Status DiffusionTrainer::save_checkpoint() {
  TITAN_RETURN_IF_ERROR(check_finite());
  const auto pause = metrics_->pause();
  TITAN_RETURN_IF_ERROR(resume_->save(
      step_, cursor_, training_->parameters(), training_->optimizer(), training_->ema(),
      /*last=*/step_ == config_.training.steps || target_met_.has_value()));
  saved_step_ = step_;
  metrics_->event({.step = step_, .name = "checkpoint", .values = {}});
  return ok_status();
}

/// True once any rank was asked to stop: all leave at the same step.
bool DiffusionTrainer::stop_agreed() {
  const double wanted = requested_signal() != 0 ? 1 : 0;
  return ranks_.control().all_reduce_values({wanted}, parallel::Reduction::kMax).front() > 0;
}

}  // namespace

StatusOr<std::unique_ptr<Trainer>> Trainer::create(const TrainerContext& context) {
  auto trainer = std::make_unique<DiffusionTrainer>(context);
  TITAN_RETURN_IF_ERROR(trainer->set_up());
  return trainer;
}

}  // namespace titan
