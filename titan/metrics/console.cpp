#include "titan/metrics/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "titan/base/check.h"
#include "titan/base/human.h"
#include "titan/base/log.h"

namespace titan::metrics {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr int kBarCells = 20;
constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

constexpr const char* kClearLine = "\r\x1b[2K";
constexpr const char* kGreen = "\x1b[32m";
constexpr const char* kYellow = "\x1b[33m";
constexpr const char* kCyan = "\x1b[36m";
constexpr const char* kPlain = "";

/// A piece of a line and its colour.
struct Segment {
  std::string text;
  const char* color = kPlain;
};

std::string joined(const std::vector<Segment>& segments, bool color, std::size_t columns) {
  std::string line;
  std::size_t used = 0;
  for (const Segment& segment : segments) {
    const std::size_t gap = used == 0 ? 0 : 2;
    if (used + gap + segment.text.size() > columns) break;  // less important pieces come last
    line.append(gap, ' ');
    used += gap + segment.text.size();
    if (color && *segment.color != '\0') {
      line += segment.color + segment.text + "\x1b[0m";
    } else {
      line += segment.text;
    }
  }
  return line;
}

std::string fixed(const char* format, double value) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

std::string loss_text(const std::optional<double>& loss) {
  return loss ? fixed("loss %.4f", *loss) : "loss nan";
}

std::string step_text(int64_t step, int64_t total) {
  return total > 0 ? str_cat("step ", step, "/", total) : str_cat("step ", step);
}

/// Waiting for data is shown where it matters.
std::optional<std::string> data_wait_text(const TrainRecord& r, double threshold) {
  if (!r.data_wait_share || *r.data_wait_share < threshold) return std::nullopt;
  return fixed("data wait %.0f%%", 100 * *r.data_wait_share);
}

/// Against both peaks where the job computes in 8 bits.
std::optional<std::string> mfu_text(const TrainRecord& r) {
  if (!r.mfu) return std::nullopt;
  const std::string text = fixed("mfu %.1f%%", 100 * *r.mfu);
  return r.mfu_fp8 ? text + fixed(" (fp8 %.1f%%)", 100 * *r.mfu_fp8) : text;
}

std::vector<Segment> plain_line(const TrainRecord& r, int64_t total) {
  std::vector<Segment> line = {{step_text(r.step, total), kCyan}, {loss_text(r.loss), kGreen}};
  line.push_back({r.grad_norm ? "grad " + human_number(*r.grad_norm) : "grad nan"});
  if (r.lr) line.push_back({fixed("lr %.2e", *r.lr)});
  if (r.samples_per_s) line.push_back({human_number(*r.samples_per_s) + " im/s"});
  if (r.step_s) line.push_back({human_number(*r.step_s) + " s/step"});
  if (const auto wait = data_wait_text(r, 0.01)) line.push_back({*wait, kYellow});
  if (r.memory_gib) line.push_back({human_bytes(*r.memory_gib * kGiB)});
  if (r.tflops) line.push_back({human_number(*r.tflops) + " TFLOP/s"});
  if (const auto mfu = mfu_text(r)) line.push_back({*mfu});
  if (r.eta_s) line.push_back({"eta " + human_duration(*r.eta_s)});
  return line;
}

std::vector<Segment> bar_line(const Progress& progress, const std::optional<TrainRecord>& last) {
  std::vector<Segment> line;
  if (progress.total_steps > 0) {
    const double share = std::clamp(
        static_cast<double>(progress.step) / static_cast<double>(progress.total_steps), 0.0, 1.0);
    const int filled = static_cast<int>(share * kBarCells);
    line.push_back({"[" + std::string(static_cast<std::size_t>(filled), '#') +
                        std::string(static_cast<std::size_t>(kBarCells - filled), '.') + "]" +
                        fixed(" %3.0f%%", std::floor(100 * share)),
                    kCyan});
  }
  line.push_back({step_text(progress.step, progress.total_steps)});
  if (last) line.push_back({loss_text(last->loss), kGreen});
  if (progress.eta_s) line.push_back({"eta " + human_duration(*progress.eta_s)});
  if (!last) return line;
  if (last->samples_per_s) line.push_back({human_number(*last->samples_per_s) + " im/s"});
  if (const auto wait = data_wait_text(*last, 0.05)) line.push_back({*wait, kYellow});
  if (const auto mfu = mfu_text(*last)) line.push_back({*mfu});
  if (last->memory_gib) line.push_back({human_bytes(*last->memory_gib * kGiB)});
  return line;
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

ConsoleOptions console_options_for(int file, bool disable_color, int64_t total_steps) {
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::string_view(term) == "dumb";
  const char* no_color = std::getenv("NO_COLOR");  // https://no-color.org
  ConsoleOptions options;
  options.file = file;
  options.total_steps = total_steps;
  options.bar = isatty(file) != 0 && !dumb;
  options.color = options.bar && !disable_color && (no_color == nullptr || *no_color == '\0');
  return options;
}

ConsoleSink::ConsoleSink(ConsoleOptions options) : options_(std::move(options)) {
  if (!options_.now) options_.now = steady_seconds;
  if (options_.bar) {
    set_log_prelude([this] {
      const std::lock_guard<std::mutex> lock(mutex_);
      clear_bar();
    });
  }
}

ConsoleSink::~ConsoleSink() {
  if (options_.bar) set_log_prelude({});
}

void ConsoleSink::train(const TrainRecord& record) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!options_.bar) {
    write(joined(plain_line(record, options_.total_steps), options_.color, std::string::npos) +
          "\n");
    return;
  }
  last_ = record;
  progress_ = {record.step, options_.total_steps, record.eta_s};
  draw_bar();
}

void ConsoleSink::eval(const EvalRecord& record) {
  std::vector<Segment> line = {
      {str_cat("eval at ", step_text(record.step, options_.total_steps)), kCyan},
      {loss_text(record.loss), kGreen}};
  for (const auto& [name, value] : record.values)
    line.push_back({name + " " + human_number(value)});
  line.push_back({str_cat(record.samples, " samples")});
  if (record.seconds) line.push_back({human_duration(*record.seconds)});
  const std::lock_guard<std::mutex> lock(mutex_);
  clear_bar();
  write(joined(line, options_.color, std::string::npos) + "\n");
}

void ConsoleSink::progress(const Progress& progress) {
  if (!options_.bar) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  progress_ = progress;
  const double now = options_.now();
  if (last_drawn_ >= 0 && now - last_drawn_ < kRedrawSeconds) return;
  draw_bar();
}

void ConsoleSink::finish() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!options_.bar || progress_.step == 0) return;
  draw_bar();
  write("\n");
  bar_shown_ = false;
}

void ConsoleSink::draw_bar() {
  // One column stays free: some terminals wrap a full line.
  const auto width = static_cast<std::size_t>(std::max(columns() - 1, 20));
  write(kClearLine + joined(bar_line(progress_, last_), options_.color, width));
  last_drawn_ = options_.now();
  bar_shown_ = true;
}

void ConsoleSink::clear_bar() {
  if (bar_shown_) write(kClearLine);
  bar_shown_ = false;
}

int ConsoleSink::columns() const {
  if (options_.width > 0) return options_.width;
  winsize size{};
  if (ioctl(options_.file, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

void ConsoleSink::write(const std::string& text) const {
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(options_.file, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // a closed screen is no reason to end a run
    written += static_cast<std::size_t>(count);
  }
}

}  // namespace titan::metrics
