#include "titan/train/run_trace.h"

#include <algorithm>
#include <utility>

#include "titan/base/log.h"
#include "titan/train/signals.h"

namespace titan {

RunTrace::RunTrace(const TraceSection& config, metrics::TraceOwner owner, std::string folder,
                   std::chrono::milliseconds stall_after)
    : config_(config),
      owner_(std::move(owner)),
      folder_(std::move(folder)),
      stall_after_(stall_after),
      trace_(config.keep_steps) {
  if (!config_.enable) return;
  set_current_trace(&trace_);
  watcher_ = std::thread([this] { watch(); });
}

RunTrace::~RunTrace() {
  if (!config_.enable) return;
  set_current_trace(nullptr);
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  watcher_.join();
}

void RunTrace::begin_step(int64_t step) {
  step_ = step;
  trace_.begin_step(step);
  trace_.enter("step", -1);
  in_step_ = true;
}

void RunTrace::end_step() {
  in_step_ = false;
  trace_.end_step();
  if (take_trace_request()) {
    write("asked for by SIGUSR2");
  } else if (std::find(config_.write_at.begin(), config_.write_at.end(), step_) !=
             config_.write_at.end()) {
    write("trace.write_at");
  }
}

void RunTrace::write(const std::string& reason) noexcept {
  if (!config_.enable) return;
  try {
    const std::lock_guard lock(write_mutex_);
    if (const Status status = metrics::write_trace(trace_, owner_, folder_, reason); !status.ok()) {
      TITAN_LOG(WARNING) << "[trace] " << message_of(status);
    } else {
      TITAN_LOG(INFO) << "[trace] written to " << folder_ << " (" << reason << ")";
    }
  } catch (const std::exception& error) {
    TITAN_LOG(WARNING) << "[trace] could not be written: " << error.what();
  }
}

void RunTrace::watch() {
  bool reported = false;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, std::min(stall_after_ / 4, std::chrono::milliseconds(1000)),
                         [this] { return stopping_; })) {
    const Trace::Activity activity = trace_.last_activity();
    const std::chrono::nanoseconds idle(Trace::now_ns() - activity.since_ns);
    if (!in_step_ || idle < stall_after_) {
      reported = false;
      continue;
    }
    if (std::exchange(reported, true)) continue;
    const auto unit = static_cast<std::size_t>(activity.unit);
    const std::string where =
        activity.unit >= 0 && unit < owner_.units.size() ? " of " + owner_.units[unit] : "";
    TITAN_LOG(WARNING) << "[trace] step " << step_ << " does not move: for "
                       << std::chrono::duration_cast<std::chrono::seconds>(idle).count()
                       << " s rank " << owner_.rank << " is in " << activity.name << where;
    write("stall");
  }
}

}  // namespace titan
