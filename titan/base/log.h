// log.h: TITAN_LOG(INFO) << ...; the only logging of product code. Includes standard headers alone:
// glog, absl/log and c10 all define LOG and CHECK, so glog lives in log.cpp alone.
#pragma once

#include <cstdint>
#include <functional>
#include <sstream>
#include <string>

namespace titan {

/// How much a line matters.
enum class LogSeverity : std::uint8_t { INFO, WARNING, ERROR };

/// Whose lines are shown, and how.
struct LogOptions {
  int rank = 0;        ///< of this process
  int world_size = 1;  ///< with more than one rank, lines carry a `[rank r]` prefix
  bool show_info =
      true;  ///< INFO lines are shown on the ranks that LOG_RANK names; warnings everywhere
  int verbosity = 0;  ///< TITAN_VLOG(n) is shown for n <= verbosity
};

/// Configures the logger; may be called again (for example once the rank is known).
void configure_logging(const LogOptions& options);

/// Called before each line is written, for example to clear a progress bar off the terminal; empty
/// = nothing. It must not log itself.
void set_log_prelude(std::function<void()> prelude);

/// True where TITAN_VLOG(level) would be printed.
bool verbose_enabled(int level);

namespace detail {
/// Collects one line; the destructor hands it to the logger. Never throws.
class LogLine {
 public:
  LogLine(LogSeverity severity, const char* file, int line)
      : severity_(severity), file_(file), line_(line) {}
  ~LogLine();
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;
  std::ostream& stream() { return stream_; }

 private:
  LogSeverity severity_;
  const char* file_;
  int line_;
  std::ostringstream stream_;
};
struct LogVoidify {
  void operator&(std::ostream&) const {}
};
}  // namespace detail

}  // namespace titan

/// Severity is INFO, WARNING or ERROR.
#define TITAN_LOG(severity) \
  ::titan::detail::LogLine(::titan::LogSeverity::severity, __FILE__, __LINE__).stream()
/// A line for those who look closely, as TITAN_LOG(INFO).
#define TITAN_VLOG(level) \
  !::titan::verbose_enabled(level) ? (void)0 : ::titan::detail::LogVoidify() & TITAN_LOG(INFO)
