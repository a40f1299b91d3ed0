#include "titan/train/run_watch.h"

#include <algorithm>
#include <utility>

#include "titan/base/log.h"
#include "titan/parallel/process_group.h"
#include "titan/train/run_folder.h"

namespace titan {
namespace {

const char* phase_name(RunWatch::Phase phase) {
  switch (phase) {
    case RunWatch::Phase::kSetUp:
      return "set-up";
    case RunWatch::Phase::kStep:
      return "step";
    case RunWatch::Phase::kEvaluation:
      return "evaluation";
    case RunWatch::Phase::kPictures:
      return "pictures";
    case RunWatch::Phase::kCheckpoint:
      return "checkpoint";
    case RunWatch::Phase::kEnd:
      return "end";
  }
  return "";
}

/// Disks, and what is done once: long without a sign.
bool patient(RunWatch::Phase phase) {
  return phase != RunWatch::Phase::kStep && phase != RunWatch::Phase::kEvaluation;
}

}  // namespace

RunWatch::RunWatch(const TrainerContext& context, std::vector<std::string> units)
    : context_(context),
      trace_(context.config.trace, {.rank = context.rank.rank, .units = std::move(units)},
             context.run_folder.trace_path().string()) {
  context_.ranks.on_peer_failure(
      [this](const parallel::RankFailure& failure) { trace_.write(failure.text()); });
  heartbeat_ = std::make_unique<parallel::Heartbeat>(
      parallel::HeartbeatOptions{
          .rank = context.rank.rank, .world_size = context.rank.world_size, .limits = limits()},
      context_.ranks.open_board(), [this] { return sample(); },
      [this](const parallel::StallReport& report, parallel::BeatBoard* board) {
        stalled(report, board);
      });
}

RunWatch::~RunWatch() { context_.ranks.on_peer_failure({}); }

parallel::StallLimits RunWatch::limits() const {
  const CommSection& comm = context_.config.comm;
  parallel::StallLimits limits;
  limits.learn = comm.stall_timeout_seconds == 0;
  limits.stall_s = limits.learn ? 0.5 * static_cast<double>(comm.train_timeout_seconds)
                                : static_cast<double>(comm.stall_timeout_seconds);
  limits.patient_s = std::max(static_cast<double>(comm.init_timeout_seconds), limits.stall_s);
  // Four beats fit into the time after which a rank that is silent is given up.
  limits.interval_s = std::min(comm.heartbeat_seconds, limits.stall_s / 4);
  return limits;
}

void RunWatch::begin_step(int64_t step, int64_t cursor) {
  step_ = step;
  begun_before_ = trace_.last_activity().count;
  cursor_ = cursor;
  first_slot_ = -1;
  phase_ = Phase::kStep;
  trace_.begin_step(step);
}

void RunWatch::end_step() {
  trace_.end_step();
  warm_ = true;
}

void RunWatch::batch(int64_t first_slot, int64_t num_slots,
                     std::function<std::string()> first_name) {
  num_slots_ = num_slots;
  first_slot_ = first_slot;
  first_name_ = std::move(first_name);
}

parallel::Beat RunWatch::sample() const {
  const Phase phase = phase_;
  const Trace::Activity activity = trace_.last_activity();
  parallel::Beat beat;
  beat.progress = activity.count;
  beat.step = step_;
  beat.of_step = activity.count - begun_before_;
  beat.phase = phase_name(phase);
  beat.patient = !warm_ || patient(phase);
  beat.judged = trace_.enabled();
  beat.doing = activity.name;
  beat.open = activity.open;
  beat.collective = activity.detail;
  beat.unit = trace_.unit_name(activity.unit);
  if (activity.last_unit >= 0)
    beat.last_work = str_cat(activity.unit_work, " of ", trace_.unit_name(activity.last_unit));
  beat.note = activity.note;
  beat.cursor = cursor_;
  beat.first_slot = first_slot_;
  beat.num_slots = num_slots_;
  return beat;
}

std::string RunWatch::where() const {
  const parallel::Beat beat = sample();
  const bool named = beat.phase == "step" && beat.first_slot >= 0 && first_name_;
  return beat.where() + (named ? str_cat(" (the first is ", first_name_(), ")") : "");
}

void RunWatch::stalled(const parallel::StallReport& report, parallel::BeatBoard* board) {
  TITAN_LOG(ERROR) << report.text;
  trace_.write(report.text);
  try {
    const bool silent = report.kind == parallel::StallReport::Kind::kSilent;
    if (board != nullptr)
      board->end_job(report.text, silent ? report.culprits : std::vector<int>{});
  } catch (const std::exception& error) {
    TITAN_LOG(WARNING) << "[stall] the other ranks could not be told: " << error.what();
  }
  parallel::end_process(1);
}

}  // namespace titan
