// trace.h: what this rank did in its last steps: a ring buffer that is always on. No torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace titan {

/// One thing that took time. Names are string literals.
struct TraceEvent {
  enum class Lane : std::uint8_t {
    kHost,        ///< the training thread; its spans nest
    kCollective,  ///< from the start of a collective to the moment its result was there
  };
  const char* name = "";
  Lane lane = Lane::kHost;
  int unit = -1;           ///< number of the model's unit, -1 = none
  std::int64_t bytes = 0;  ///< of a collective
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
};

/// Names of events that others look for.
inline constexpr const char* kTraceWait = "wait";  ///< the training thread waits for a collective

struct TraceStep {
  std::int64_t step = 0;
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;  ///< 0 while the step lasts
  std::vector<TraceEvent> events = {};
};

/// Holds the last `keep_steps` steps. One thread adds (about 50 ns an event); any thread may read.
/// Once steps have their usual number of events, nothing is allocated.
class Trace {
 public:
  explicit Trace(std::int64_t keep_steps) : ring_(static_cast<std::size_t>(keep_steps)) {}

  void begin_step(std::int64_t step);
  void end_step();
  void add(const TraceEvent& event);
  /// What the training thread is about to do; for whoever asks when nothing moves any more.
  /// `detail`: of a wait, the collective that is waited for.
  void enter(const char* name, int unit, const char* detail = "");
  /// More about what was entered last, in words: the sample that is waited for.
  void note(std::string text);

  /// The steps held, oldest first; the last may not have ended.
  std::vector<TraceStep> steps() const;
  /// What was entered last, and when (ns).
  struct Activity {
    const char* name = "";
    const char* detail = "";
    int unit = -1;
    bool open = false;  ///< it has not ended
    std::int64_t since_ns = 0;
    std::int64_t count = 0;      ///< begins and ends so far: grows as long as the thread gets on
    const char* unit_work = "";  ///< what was last begun of a unit, and of which
    int last_unit = -1;
    std::string note = {};
  };
  Activity last_activity() const;
  /// Share of the time of the ended steps held that the training thread waited for collectives; 0
  /// without such steps.
  double exposed_share() const;

  /// Nanoseconds of the steady clock.
  static std::int64_t now_ns();

 private:
  mutable std::mutex mutex_;
  std::vector<TraceStep> ring_;
  std::size_t count_ = 0;  ///< steps begun so far
  Activity activity_;
};

/// The trace to which this thread's spans go; null = none.
Trace* current_trace();
void set_current_trace(Trace* trace);

/// Who else hears of spans, on the thread that makes them: a profiler. Spans nest.
struct SpanListener {
  void (*begin)(const char* name, int unit);
  void (*end)();
};
/// Of the whole process; null = nobody. Set while no span is open.
void set_span_listener(const SpanListener* listener);

/// Adds the time from its construction to its end.
class TraceSpan {
 public:
  explicit TraceSpan(const char* name, int unit = -1, std::int64_t bytes = 0,
                     const char* detail = "");
  ~TraceSpan();
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

 private:
  Trace* trace_;
  const SpanListener* listener_;
  TraceEvent event_;
};

}  // namespace titan
