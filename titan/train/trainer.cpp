#include "titan/train/trainer.h"

#include <c10/util/Exception.h>

#include <cmath>
#include <cstdio>
#include <utility>

#include "titan/base/environment.h"
#include "titan/base/log.h"
#include "titan/optim/lr_schedule.h"
#include "titan/parallel/process_group.h"
#include "titan/train/failure_text.h"
#include "titan/train/restart_note.h"
#include "titan/train/run_parts.h"
#include "titan/train/step_observer.h"

namespace titan {
namespace {

class DiffusionTrainer : public Trainer {
 public:
  DiffusionTrainer(const TrainerContext& context, std::unique_ptr<RunParts> parts)
      : context_(context),
        config_(context.config),
        parts_(std::move(parts)),
        run_(*parts_),
        step_(run_.steps_before),
        cursor_(run_.samples_before),
        saved_step_(run_.resume->resumed_step().value_or(-1)),
        target_met_(run_.target_met) {}

  StatusOr<JobOutcome> train() override;

 private:
  StatusOr<JobOutcome> train_steps();
  void note_failure(const std::string& cause) noexcept;
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
  std::unique_ptr<RunParts> parts_;
  RunParts& run_;
  int64_t step_;                      ///< optimizer steps done
  int64_t cursor_;                    ///< global samples consumed
  int64_t saved_step_;                ///< step of the newest checkpoint of this process
  std::optional<double> target_met_;  ///< the evaluation loss that ended the run
  double data_wait_s_ = 0;            ///< loader's wait as of the previous step
};

std::string DiffusionTrainer::finished_text() const {
  if (target_met_) {
    return str_cat("its evaluation loss of ", *target_met_, " at step ", step_,
                   " met eval.target_eval_loss=", config_.eval.target_eval_loss,
                   "; a lower target goes on");
  }
  return str_cat("step ", step_, " of ", config_.training.steps, "; --training.steps=N goes on");
}

/// Whatever ends the steps too early leaves a trace of the last ones, and says where it happened.
StatusOr<JobOutcome> DiffusionTrainer::train() {
  if (run_.finished()) {
    TITAN_LOG(INFO) << "[train] this run is finished (" << finished_text()
                    << ", another --job.dump_folder starts anew)";
    return JobOutcome::kDone;
  }
  if (context_.observer) TITAN_RETURN_IF_ERROR(context_.observer->before_training(run_));
  try {
    const StatusOr<JobOutcome> outcome = train_steps();
    if (outcome.ok()) return outcome;
    note_failure(message_of(outcome.status()));
    return Status(outcome.status().code(),
                  str_cat(message_of(outcome.status()), "\n  [train] ", run_.watch->where()));
  } catch (const std::exception& error) {
    if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr)
      run_.profiler->out_of_memory(step_ + 1);
    note_failure(error.what());
    throw Error(str_cat(failure_text(error), "\n  [train] ", run_.watch->where()));
  }
}

/// Into trace/, and as the last line of metrics.jsonl: a reader of the run's folder finds the
/// cause.
void DiffusionTrainer::note_failure(const std::string& cause) noexcept {
  run_.watch->trace().write(cause);
  try {
    run_.metrics->event({.step = step_,
                         .name = "failed",
                         .values = {{"cause", cause.substr(0, cause.find('\n'))}}});
  } catch (const std::exception& error) {
    TITAN_LOG(WARNING) << "[metrics] the failure could not be noted: " << error.what();
  }
}

StatusOr<JobOutcome> DiffusionTrainer::train_steps() {
  run_.training->model().train();
  run_.metrics->start();
  note_restart();
  say_time_limit();
  TITAN_RETURN_IF_ERROR(do_work(run_.between->still_due(step_, run_.put_off)));
  const int64_t first_step = step_ + 1;
  while (!last_step()) {
    if (run_.between->stop_agreed(step_)) return stop();
    const auto timer = run_.times->start();
    run_.mlperf->before_step(cursor_);
    run_.watch->begin_step(step_ + 1, cursor_);
    run_.profiler->begin_step(step_ + 1);
    if (context_.observer) context_.observer->before_step(step_ + 1, *run_.training);
    TITAN_ASSIGN_OR_RETURN(const StepResult result, train_step());
    const bool go_on =
        !context_.observer || context_.observer->after_step(step_ + 1, result, *run_.training);
    run_.watch->end_step();
    ++step_;
    run_.profiler->end_step(step_);
    cursor_ += run_.batches.global_batch;
    if (step_ == first_step) context_.ranks.use_train_timeout();
    TITAN_RETURN_IF_ERROR(report(result));
    if (!go_on) return finish();
    TITAN_RETURN_IF_ERROR(run_.resume->poll());
    run_.times->step(timer.seconds());
    TITAN_RETURN_IF_ERROR(do_work(run_.between->due(step_)));
    const bool due = step_ % config_.checkpoint.interval == 0 || last_step();
    if (config_.checkpoint.enable_checkpoint && due) TITAN_RETURN_IF_ERROR(save_checkpoint());
  }
  if (run_.between->left().any()) return stop();
  // The run had ended but for this: its full checkpoint is there, not what it is to leave behind.
  const bool ended_before = run_.put_off.any() && step_ < first_step;
  if (ended_before && config_.checkpoint.enable_checkpoint && config_.checkpoint.model_weights_only)
    TITAN_RETURN_IF_ERROR(save_checkpoint());
  return finish();
}

Status DiffusionTrainer::do_work(const PutOff& due) {
  TITAN_RETURN_IF_ERROR(run_.between->work(step_, cursor_, due));
  if (run_.between->target_met()) target_met_ = run_.between->target_met();
  return ok_status();
}

StatusOr<JobOutcome> DiffusionTrainer::stop() {
  if (config_.checkpoint.enable_checkpoint && saved_step_ != step_ && step_ > 0)
    TITAN_RETURN_IF_ERROR(save_checkpoint());
  TITAN_RETURN_IF_ERROR(run_.resume->finish());
  run_.metrics->finish();
  run_.mlperf->run_stop(/*success=*/false, cursor_);
  if (!is_main()) return JobOutcome::kStopped;
  const std::string left =
      run_.between->left().any() ? str_cat("; put off: ", run_.between->left().text()) : "";
  const char* const how_on = !config_.checkpoint.enable_checkpoint
                                 ? "; checkpoints are off, nothing was saved"
                             : step_ > 0 ? "; the same command goes on from its checkpoint"
                                         : "; there was nothing to save yet";
  TITAN_LOG(WARNING) << "[train] stopped after step " << step_ << " " << run_.stop->reason() << left
                     << how_on;
  return JobOutcome::kStopped;
}

StatusOr<JobOutcome> DiffusionTrainer::finish() {
  const auto phase = run_.watch->enter(RunWatch::Phase::kEnd);
  TITAN_RETURN_IF_ERROR(run_.resume->finish());
  run_.metrics->finish();
  run_.mlperf->run_stop(target_met_.has_value(), cursor_);
  if (config_.trace.enable && context_.ranks.world_size() > 1) {
    char share[16];
    std::snprintf(share, sizeof share, "%.1f", 100 * run_.watch->trace().exposed_share());
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
  if (is_main() && !config_.checkpoint.enable_checkpoint &&
      environment("MAX_RESTARTS").value_or("0") != "0")
    TITAN_LOG(WARNING)
        << "[train] MAX_RESTARTS without checkpoints: after a failure the run begins "
           "at step 1 again (--checkpoint.enable_checkpoint)";
  const RestartNote note = restart_note();
  if (note.number == 0) return;
  run_.metrics->event({.step = step_,
                       .name = "restart",
                       .values = {{"number", int64_t{note.number}}, {"cause", note.cause}}});
}

void DiffusionTrainer::say_time_limit() const {
  const Deadline& deadline = run_.stop->deadline();
  if (!is_main() || !deadline.set()) return;
  const double left = deadline.remaining_s(), needed = run_.times->needed_s({.step = true});
  TITAN_LOG(INFO) << "[train] " << std::llround(left) << " s are left (" << deadline.source()
                  << "); the run begins to stop in time";
  if (left < needed)
    TITAN_LOG(WARNING) << "[train] too little for even one step and its checkpoint, which need "
                       << std::llround(needed) << " s";
}

StatusOr<Batch> DiffusionTrainer::next_batch(int64_t number) {
  const TraceSpan span("data");
  TITAN_ASSIGN_OR_RETURN(Batch batch, run_.loader->next());
  if (context_.observer) context_.observer->on_batch(batch);
  const int64_t local_batch = run_.batches.global_batch / run_.mesh->dp_size();
  run_.watch->batch(
      cursor_ + run_.mesh->dp_rank() * local_batch + number * run_.batches.micro_batch,
      run_.batches.micro_batch, [this, sample = batch.sample] {
        return run_.dataset->describe(sample.contiguous().const_data_ptr<int64_t>()[0]);
      });
  return batch;
}

StatusOr<StepResult> DiffusionTrainer::train_step() {
  const double lr =
      config_.optimizer.lr * optim::lr_multiplier(config_.lr_scheduler, config_.training.steps,
                                                  step_ - run_.resume->lr_origin());
  StepMark::write(step_ + 1);
  return run_.training->run(
      step_ + 1, lr, [this, number = int64_t{0}]() mutable { return next_batch(number++); },
      run_.guard.get());
}

Status DiffusionTrainer::report(const StepResult& result) {
  const double waited_s = run_.loader->stats().wait_s;
  const auto record = run_.metrics->step({.step = step_,
                                          .samples = run_.batches.global_batch,
                                          .loss = result.loss,
                                          .loss_max = {},
                                          .grad_norm = result.grad_norm,
                                          .lr = result.lr,
                                          .data_wait_s = waited_s - data_wait_s_});
  data_wait_s_ = waited_s;
  if (record) run_.mlperf->record(*record);
  // On a GPU the host looks only where it waits for the device anyway.
  return record || context_.device.is_cpu() ? check_finite() : ok_status();
}

Status DiffusionTrainer::check_finite() {
  TITAN_ASSIGN_OR_RETURN(const std::vector<NonfiniteStep> skipped, run_.guard->check());
  for (const NonfiniteStep& one : skipped) {
    if (is_main()) {
      TITAN_LOG(WARNING) << "[train] step " << one.step << " left out: " << one.cause << " ("
                         << run_.guard->skipped() << " so far)";
    }
    run_.metrics->event({.step = one.step, .name = "nonfinite", .values = {{"cause", one.cause}}});
  }
  return ok_status();
}

Status DiffusionTrainer::save_checkpoint() {
  TITAN_RETURN_IF_ERROR(check_finite());
  TITAN_RETURN_IF_ERROR(run_.between->save(step_, cursor_, last_step()));
  saved_step_ = step_;
  return ok_status();
}

}  // namespace

StatusOr<std::unique_ptr<Trainer>> Trainer::create(const TrainerContext& context) {
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<RunParts> parts, RunParts::build(context));
  return std::make_unique<DiffusionTrainer>(context, std::move(parts));
}

}  // namespace titan
