// fetch_progress.h: many downloads at once, and a line now and then about how far they are.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "titan/base/status.h"
#include "titan/io/remote/http.h"

namespace titan {

/// Runs work(0) ... work(count - 1) on up to `threads` threads; after the first error no new one
/// begins. The first error, or ok.
Status for_each_parallel(std::size_t count, std::size_t threads,
                         const std::function<Status(std::size_t)>& work);

/// "[shards] 12 of 40 tars, 3.1 of 10.2 GiB, 250 MiB/s, 29s left", every five seconds. Thread-safe.
class FetchProgress {
 public:
  FetchProgress(std::size_t num_tars, std::uint64_t total_bytes)
      : num_tars_(num_tars), total_bytes_(total_bytes) {}

  /// One tar's part in it; used by one thread.
  class Item {
   public:
    explicit Item(FetchProgress& all) : all_(all) {}
    /// `bytes` of the tar are here.
    void at(std::uint64_t bytes);
    /// The tar is here, all `bytes` of it.
    void done(std::uint64_t bytes);

   private:
    FetchProgress& all_;
    std::uint64_t seen_ = 0;
    bool began_ = false;
  };

 private:
  using Clock = std::chrono::steady_clock;
  void add(std::uint64_t here, std::uint64_t transferred, std::size_t tars);

  std::mutex mutex_;
  std::size_t num_tars_;
  std::uint64_t total_bytes_;
  std::size_t done_tars_ = 0;
  std::uint64_t done_bytes_ = 0;
  std::uint64_t transferred_bytes_ = 0;  ///< without what earlier runs had left
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

/// "[shards] shard.00017.mds.zstd: 310 MiB of 1.00 GiB, 52 MiB/s, 14s left", every five seconds,
/// for one shard that a reader waits for.
DownloadProgress slow_download_lines(const std::string& name,
                                     std::optional<std::uint64_t> total_bytes);

}  // namespace titan
