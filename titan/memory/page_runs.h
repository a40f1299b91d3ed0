// page_runs.h: runs of 2 MiB pages with huge-page backing. What was given back is kept and handed
// out again, so that the kernel zeroes and maps each page once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace titan::memory {

/// Disjoint address ranges; neighbours are joined.
class RunSet {
 public:
  struct Run {
    std::uintptr_t address = 0;
    std::size_t size = 0;
  };
  void insert(Run run);
  void erase(Run run);
  /// The smallest run of at least `size` bytes, the lowest address among equals.
  std::optional<Run> best_fit(std::size_t size) const;
  /// The run that starts at `address`.
  std::optional<Run> starting_at(std::uintptr_t address) const;
  const std::map<std::uintptr_t, std::size_t>& by_address() const { return by_address_; }

 private:
  std::map<std::uintptr_t, std::size_t> by_address_;
  std::set<std::pair<std::size_t, std::uintptr_t>> by_size_;
};

/// Hands out runs of pages by best fit. Not thread-safe: the owner locks.
class PageRuns {
 public:
  static constexpr std::size_t kPageBytes = std::size_t{2} << 20;

  /// `size` is a multiple of kPageBytes. Aligned to kPageBytes; nullptr where the system has no
  /// more.
  void* take(std::size_t size);
  /// `run` and `size` as taken.
  void give(void* run, std::size_t size);
  /// Returns the memory of unused runs to the system; the addresses stay ours. Gives the bytes
  /// returned.
  std::size_t release_unused();
  /// Bytes handed out, or unused but still backed by memory.
  std::size_t reserved() const { return reserved_; }

 private:
  std::optional<RunSet::Run> carve(std::size_t size);
  bool map_chunk(std::size_t min_size);

  RunSet warm_;  ///< unused, backed by memory: taken first
  RunSet cold_;  ///< unused, addresses only
  std::size_t reserved_ = 0;
};

}  // namespace titan::memory
