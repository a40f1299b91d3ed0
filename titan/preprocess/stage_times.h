// stage_times.h: how busy the three stages of a preprocessing job are, and who waits for whom. No
// torch.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace titan::preprocess {

/// Seconds of work and of waiting, added from any thread.
class StageTimes {
 public:
  enum Kind : std::uint8_t { kDecode, kEncode, kWrite, kWaitForDecode, kWaitForWrite, kNumKinds };

  void add(Kind kind, double seconds);
  double seconds(Kind kind) const { return static_cast<double>(ns_[kind].load()) * 1e-9; }
  /// "busy: decode 43 % of 2 threads, encode 96 %, write 12 %; encode waited 3 % for decode, 0 %
  /// for write" over `elapsed_s`.
  std::string shares(double elapsed_s, int64_t decode_threads) const;

  /// Adds the time from here to the end of its life.
  class Span {
   public:
    Span(StageTimes& times, Kind kind) : times_(times), kind_(kind) {}
    ~Span() { times_.add(kind_, std::chrono::duration<double>(Clock::now() - start_).count()); }
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;

   private:
    using Clock = std::chrono::steady_clock;
    StageTimes& times_;
    Kind kind_;
    Clock::time_point start_ = Clock::now();
  };

 private:
  std::atomic<std::int64_t> ns_[kNumKinds] = {};
};

/// Samples and bytes over all ranks since the job was started, now and then said by rank 0.
class Progress {
 public:
  Progress(int64_t total, int64_t done_before, double interval_s);

  /// True where it is time for a line.
  bool due();
  /// "1234 of 32000 samples (3.9 %), 56.1 samples/s, 118 MB/s, 9m 08s left". `done`: since the
  /// start of this process.
  std::string line(int64_t done, double bytes) const;
  double elapsed_s() const;

 private:
  using Clock = std::chrono::steady_clock;
  int64_t total_;
  int64_t done_before_;
  std::chrono::duration<double> interval_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

}  // namespace titan::preprocess
