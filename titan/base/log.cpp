#include "titan/base/log.h"

#include <mutex>

#include <glog/logging.h>

namespace titan {
namespace {

struct LoggerState {
  std::mutex mutex;
  LogOptions options;
  std::function<void()> prelude;
  bool initialised = false;
};

LoggerState& state() {
  static LoggerState* state =
      new LoggerState;  // never destroyed: threads may log while the process ends
  return *state;
}

google::LogSeverity to_glog(LogSeverity severity) {
  switch (severity) {
    case LogSeverity::INFO:
      return google::GLOG_INFO;
    case LogSeverity::WARNING:
      return google::GLOG_WARNING;
    case LogSeverity::ERROR:
      return google::GLOG_ERROR;
  }
  return google::GLOG_ERROR;
}

void ensure_initialised(LoggerState& logger) {
  if (logger.initialised) return;
  FLAGS_logtostderr = true;
  FLAGS_log_prefix = true;
  google::InitGoogleLogging("titan");
  logger.initialised = true;
}

}  // namespace

void configure_logging(const LogOptions& options) {
  LoggerState& logger = state();
  const std::lock_guard<std::mutex> lock(logger.mutex);
  logger.options = options;
  ensure_initialised(logger);
}

void set_log_prelude(std::function<void()> prelude) {
  LoggerState& logger = state();
  const std::lock_guard<std::mutex> lock(logger.mutex);
  logger.prelude = std::move(prelude);
}

bool verbose_enabled(int level) {
  LoggerState& logger = state();
  const std::lock_guard<std::mutex> lock(logger.mutex);
  return level <= logger.options.verbosity;
}

namespace detail {

LogLine::~LogLine() {
  try {
    LogOptions options;
    {
      LoggerState& logger = state();
      const std::lock_guard<std::mutex> lock(logger.mutex);
      ensure_initialised(logger);
      options = logger.options;
      if (severity_ == LogSeverity::INFO && !options.show_info) return;
      if (logger.prelude) logger.prelude();
    }
    google::LogMessage message(file_, line_, to_glog(severity_));
    if (options.world_size > 1) message.stream() << "[rank " << options.rank << "] ";
    message.stream() << stream_.str();
  } catch (...) {  // NOLINT(bugprone-empty-catch): a destructor must not throw, and logging is best
                   // effort
  }
}

}  // namespace detail
}  // namespace titan
