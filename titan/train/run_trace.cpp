#include "titan/train/run_trace.h"

#include <algorithm>
#include <utility>

#include "titan/base/log.h"
#include "titan/train/signals.h"

namespace titan {

RunTrace::RunTrace(const TraceSection& config, metrics::TraceOwner owner, std::string folder)
    : config_(config),
      owner_(std::move(owner)),
      folder_(std::move(folder)),
      trace_(config.keep_steps) {
  if (config_.enable) set_current_trace(&trace_);
}

RunTrace::~RunTrace() {
  if (config_.enable) set_current_trace(nullptr);
}

void RunTrace::begin_step(int64_t step) {
  step_ = step;
  trace_.begin_step(step);
  trace_.enter("step", -1);
}

void RunTrace::end_step() {
  trace_.end_step();
  if (take_trace_request()) {
    write("asked for by SIGUSR2");
  } else if (std::find(config_.write_at.begin(), config_.write_at.end(), step_) !=
             config_.write_at.end()) {
    write("trace.write_at");
  }
}

std::string RunTrace::unit_name(int unit) const {
  const auto number = static_cast<std::size_t>(unit);
  if (unit < 0) return {};
  return number < owner_.units.size() ? owner_.units[number] : std::to_string(unit);
}

void RunTrace::write(const std::string& reason) noexcept {
  if (!config_.enable) return;
  try {
    const std::lock_guard lock(write_mutex_);
    if (const Status status = metrics::write_trace(trace_, owner_, folder_, reason); !status.ok()) {
      TITAN_LOG(WARNING) << "[trace] " << message_of(status);
    } else {
      TITAN_LOG(INFO) << "[trace] written to " << folder_ << " ("
                      << reason.substr(0, reason.find('\n')) << ")";
    }
  } catch (const std::exception& error) {
    TITAN_LOG(WARNING) << "[trace] could not be written: " << error.what();
  }
}

}  // namespace titan
