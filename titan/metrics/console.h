// console.h: what the person at the screen sees: a progress bar on a terminal, plain lines
// elsewhere.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "titan/metrics/sink.h"

namespace titan::metrics {

struct ConsoleOptions {
  int file = 1;        ///< file descriptor
  bool bar = false;    ///< one line, drawn again and again
  bool color = false;  ///< ANSI colours
  int width = 0;       ///< columns; 0 = as the terminal says
  int64_t total_steps = 0;
  std::function<double()> now = {};  ///< seconds, steady; empty = the system's clock
};

/// A bar with colours on a terminal (no colours where `disable_color`, NO_COLOR or TERM=dumb say
/// so); plain lines in a pipe, a file or a dumb terminal.
ConsoleOptions console_options_for(int file, bool disable_color, int64_t total_steps);

/// In bar mode one line is redrawn in place, at most ten times a second, and steps aside for log
/// lines; otherwise one line a record.
class ConsoleSink : public MetricsSink {
 public:
  explicit ConsoleSink(ConsoleOptions options);
  ~ConsoleSink() override;
  ConsoleSink(const ConsoleSink&) = delete;
  ConsoleSink& operator=(const ConsoleSink&) = delete;

  void train(const TrainRecord& record) override;
  void eval(const EvalRecord& record) override;
  /// Events are the run's log lines; nothing is shown twice.
  void event(const EventRecord& /*record*/) override {}
  void progress(const Progress& progress) override;
  /// Leaves the bar's last state on the screen.
  void finish() override;

 private:
  void draw_bar();
  void clear_bar();
  int columns() const;
  void write(const std::string& text) const;

  ConsoleOptions options_;
  std::mutex mutex_;  ///< log lines of other threads clear the bar
  std::optional<TrainRecord> last_;
  Progress progress_;
  double last_drawn_ = -1;
  bool bar_shown_ = false;
};

}  // namespace titan::metrics
