#include "titan/base/trace.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

namespace titan {
namespace {
thread_local Trace* thread_trace = nullptr;
std::atomic<const SpanListener*> span_listener = nullptr;
}  // namespace

Trace* current_trace() { return thread_trace; }
void set_current_trace(Trace* trace) { thread_trace = trace; }
void set_span_listener(const SpanListener* listener) { span_listener = listener; }

std::int64_t Trace::now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Trace::begin_step(std::int64_t step) {
  const std::lock_guard lock(mutex_);
  TraceStep& slot = ring_[count_++ % ring_.size()];
  slot.step = step;
  slot.begin_ns = now_ns();
  slot.end_ns = 0;
  slot.events.clear();
}

void Trace::end_step() {
  const std::lock_guard lock(mutex_);
  if (count_ > 0) ring_[(count_ - 1) % ring_.size()].end_ns = now_ns();
}

void Trace::add(const TraceEvent& event) {
  const std::lock_guard lock(mutex_);
  if (event.lane == TraceEvent::Lane::kHost) {
    activity_.open = false;
    ++activity_.count;
  }
  // What happens between steps (evaluation, checkpoints) is not kept.
  if (count_ == 0 || ring_[(count_ - 1) % ring_.size()].end_ns != 0) return;
  ring_[(count_ - 1) % ring_.size()].events.push_back(event);
}

void Trace::enter(const char* name, int unit, const char* detail) {
  const std::lock_guard lock(mutex_);
  activity_.name = name;
  activity_.detail = detail;
  activity_.unit = unit;
  activity_.open = true;
  activity_.since_ns = now_ns();
  ++activity_.count;
  if (unit >= 0) {
    activity_.unit_work = name;
    activity_.last_unit = unit;
  }
  activity_.note.clear();
}

void Trace::note(std::string text) {
  const std::lock_guard lock(mutex_);
  activity_.note = std::move(text);
}

std::vector<TraceStep> Trace::steps() const {
  const std::lock_guard lock(mutex_);
  std::vector<TraceStep> result;
  for (std::size_t i = count_ - std::min(count_, ring_.size()); i < count_; ++i)
    result.push_back(ring_[i % ring_.size()]);
  return result;
}

Trace::Activity Trace::last_activity() const {
  const std::lock_guard lock(mutex_);
  return activity_;
}

double Trace::exposed_share() const {
  std::int64_t waited = 0, whole = 0;
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < std::min(count_, ring_.size()); ++i) {
    if (ring_[i].end_ns == 0) continue;
    whole += ring_[i].end_ns - ring_[i].begin_ns;
    for (const TraceEvent& event : ring_[i].events) {
      if (std::strcmp(event.name, kTraceWait) == 0) waited += event.end_ns - event.begin_ns;
    }
  }
  return whole == 0 ? 0 : static_cast<double>(waited) / static_cast<double>(whole);
}

TraceSpan::TraceSpan(const char* name, int unit, std::int64_t bytes, const char* detail)
    : trace_(current_trace()), listener_(span_listener.load(std::memory_order_relaxed)) {
  if (listener_ != nullptr) listener_->begin(name, unit);
  if (trace_ == nullptr) return;
  trace_->enter(name, unit, detail);
  event_ = {.name = name, .unit = unit, .bytes = bytes, .begin_ns = Trace::now_ns()};
}

TraceSpan::~TraceSpan() {
  if (listener_ != nullptr) listener_->end();
  if (trace_ == nullptr) return;
  event_.end_ns = Trace::now_ns();
  trace_->add(event_);
}

}  // namespace titan
