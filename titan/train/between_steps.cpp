#include "titan/train/between_steps.h"

#include <vector>

#include "titan/parallel/process_group.h"
#include "titan/train/run_folder.h"

namespace titan {

PutOff BetweenSteps::due(int64_t step) const {
  return {.evaluation = parts_.evaluation.due(step), .pictures = parts_.pictures.due(step)};
}

PutOff BetweenSteps::still_due(int64_t step, const PutOff& put_off) const {
  const PutOff now = due(step);
  return {.evaluation = put_off.evaluation && now.evaluation,
          .evaluation_pictures =
              put_off.evaluation_pictures && now.evaluation && parts_.pictures.after_evaluation(),
          .pictures = put_off.pictures && now.pictures};
}

bool BetweenSteps::stop_agreed(int64_t step) {
  const PutOff next = due(step + 1);
  const CheckpointSection& checkpoint = parts_.config.checkpoint;
  return parts_.stop.agreed(parts_.times.needed_s(
      {.step = true,
       .evaluation = next.evaluation,
       .pictures = next.pictures,
       .checkpoint = checkpoint.enable_checkpoint && (step + 1) % checkpoint.interval == 0}));
}

Status BetweenSteps::work(int64_t step, int64_t cursor, const PutOff& due) {
  left_ = due;
  // What was stopped stays on the list.
  const auto done = [](bool& wish, const Status& status) {
    if (absl::IsCancelled(status)) return ok_status();
    wish = false;
    return status;
  };
  const std::function<bool()> stop = [this] { return stop_now(); };
  BlockRunner& runner = parts_.training.runner();
  if (due.evaluation) {
    TITAN_RETURN_IF_ERROR(done(left_.evaluation, evaluate(step, cursor)));
    left_.evaluation_pictures = !left_.evaluation && parts_.pictures.after_evaluation();
  }
  if (left_.evaluation_pictures) {
    TITAN_RETURN_IF_ERROR(done(left_.evaluation_pictures, draw(step, [&] {
                                 return parts_.pictures.draw_after_evaluation(runner, step, stop);
                               })));
  }
  if (due.pictures) {
    TITAN_RETURN_IF_ERROR(
        done(left_.pictures, draw(step, [&] { return parts_.pictures.draw(runner, step, stop); })));
  }
  if (left_.any()) parts_.metrics.event(put_off_event(left_, step));
  return ok_status();
}

Status BetweenSteps::evaluate(int64_t step, int64_t cursor) {
  const auto pause = parts_.metrics.pause();
  const auto phase = parts_.watch.enter(RunWatch::Phase::kEvaluation);
  const auto timer = parts_.times.start();
  TrainStep& training = parts_.training;
  parts_.mlperf.eval_start(cursor);
  training.model().eval();
  const StatusOr<EvaluationResult> result =
      parts_.evaluation.run(training.runner(), training.objective(), [this] { return stop_now(); });
  training.model().train();
  TITAN_RETURN_IF_ERROR(result.status());
  parts_.times.evaluation(timer.seconds());
  parts_.mlperf.eval_stop(cursor, result->loss);
  parts_.metrics.eval(eval_record(*result, step, cursor));
  if (!parts_.evaluation.meets_target(*result)) return ok_status();
  target_met_ = result->loss;
  parts_.mlperf.run_stop(/*success=*/true, cursor);  // what is saved now is not part of the time
  parts_.metrics.event({.step = step, .name = "target", .values = {{"loss", result->loss}}});
  return ok_status();
}

/// Draws with the weights that [sampling] asks for.
Status BetweenSteps::draw(int64_t step, const std::function<Status()>& pictures) {
  const auto pause = parts_.metrics.pause();
  const auto phase = parts_.watch.enter(RunWatch::Phase::kPictures);
  const auto timer = parts_.times.start();
  TrainStep& training = parts_.training;
  const optim::Ema::Scope averaged(parts_.config.sampling.use_ema ? training.ema() : nullptr);
  training.model().eval();
  const Status status = pictures();
  training.model().train();
  TITAN_RETURN_IF_ERROR(status);
  parts_.times.pictures(timer.seconds());
  parts_.metrics.event({.step = step, .name = "sample", .values = {}});
  return status;
}

/// The last checkpoint may hold weights alone; a run that has something left goes on from it.
Status BetweenSteps::save(int64_t step, int64_t cursor, bool last) {
  const auto pause = parts_.metrics.pause();
  const auto phase = parts_.watch.enter(RunWatch::Phase::kCheckpoint);
  const auto timer = parts_.times.start();
  TrainStep& training = parts_.training;
  TITAN_RETURN_IF_ERROR(parts_.resume.save(step, cursor, training.parameters(),
                                           training.optimizer(), training.ema(),
                                           last && !left_.any()));
  parts_.times.save(timer.seconds(), parts_.config.checkpoint.async_mode != "async");
  parts_.metrics.event({.step = step, .name = "checkpoint", .values = {}});
  return ok_status();
}

PutOff put_off_before(const TrainerContext& context, int64_t step) {
  PutOff left;
  if (context.rank.is_main() && step > 0)
    left = find_put_off(context.run_folder.metrics_path().string(), step);
  const std::vector<double> agreed = context.ranks.control().all_reduce_values(
      {left.evaluation ? 1.0 : 0.0, left.evaluation_pictures ? 1.0 : 0.0,
       left.pictures ? 1.0 : 0.0},
      parallel::Reduction::kMax);
  return {
      .evaluation = agreed[0] > 0, .evaluation_pictures = agreed[1] > 0, .pictures = agreed[2] > 0};
}

}  // namespace titan
