#include "titan/memory/page_runs.h"

#include <sys/mman.h>

#include <iterator>

namespace titan::memory {

void RunSet::insert(Run run) {
  auto next = by_address_.lower_bound(run.address);
  if (next != by_address_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == run.address) {
      run = {before->first, before->second + run.size};
      erase({before->first, before->second});
      next = by_address_.lower_bound(run.address);
    }
  }
  if (next != by_address_.end() && run.address + run.size == next->first) {
    const Run after{next->first, next->second};
    run.size += after.size;
    erase(after);
  }
  by_address_.emplace(run.address, run.size);
  by_size_.emplace(run.size, run.address);
}

void RunSet::erase(Run run) {
  by_size_.erase({run.size, run.address});
  by_address_.erase(run.address);
}

std::optional<RunSet::Run> RunSet::best_fit(std::size_t size) const {
  const auto found = by_size_.lower_bound({size, 0});
  if (found == by_size_.end()) return std::nullopt;
  return Run{found->second, found->first};
}

std::optional<RunSet::Run> RunSet::starting_at(std::uintptr_t address) const {
  const auto found = by_address_.find(address);
  if (found == by_address_.end()) return std::nullopt;
  return Run{found->first, found->second};
}

void* PageRuns::take(std::size_t size) {
  std::optional<RunSet::Run> run = carve(size);
  if (!run && map_chunk(size)) run = carve(size);
  return run ? reinterpret_cast<void*>(run->address) : nullptr;
}

std::optional<RunSet::Run> PageRuns::carve(std::size_t size) {
  if (const auto warm = warm_.best_fit(size)) {
    warm_.erase(*warm);
    if (warm->size > size) warm_.insert({warm->address + size, warm->size - size});
    return RunSet::Run{warm->address, size};
  }
  // A backed run that ends where an unbacked one starts grows into it: less memory than a fresh
  // run.
  for (const auto& [address, warm_size] : warm_.by_address()) {
    const auto cold = cold_.starting_at(address + warm_size);
    if (!cold || warm_size + cold->size < size) continue;
    const RunSet::Run warm{address, warm_size};
    const std::size_t taken = size - warm.size;
    warm_.erase(warm);
    cold_.erase(*cold);
    if (cold->size > taken) cold_.insert({cold->address + taken, cold->size - taken});
    reserved_ += taken;
    return RunSet::Run{warm.address, size};
  }
  const auto cold = cold_.best_fit(size);
  if (!cold) return std::nullopt;
  cold_.erase(*cold);
  if (cold->size > size) cold_.insert({cold->address + size, cold->size - size});
  reserved_ += size;
  return RunSet::Run{cold->address, size};
}

void PageRuns::give(void* run, std::size_t size) {
  warm_.insert({reinterpret_cast<std::uintptr_t>(run), size});
}

std::size_t PageRuns::release_unused() {
  std::size_t released = 0;
  while (!warm_.by_address().empty()) {
    const RunSet::Run run{warm_.by_address().begin()->first, warm_.by_address().begin()->second};
    madvise(reinterpret_cast<void*>(run.address), run.size, MADV_DONTNEED);
    warm_.erase(run);
    cold_.insert(run);
    released += run.size;
  }
  reserved_ -= released;
  return released;
}

// Addresses cost nothing until they are touched (MAP_NORESERVE): one large range keeps everything
// in one place, where neighbours can be joined. Where address space is limited (ulimit -v, strict
// overcommit) smaller ranges are tried.
bool PageRuns::map_chunk(std::size_t min_size) {
  for (std::size_t size = std::size_t{64} << 30;; size /= 2) {
    const bool last = size / 2 < min_size || size <= (std::size_t{64} << 20);
    if (last) size = min_size;
    if (size < min_size) return false;
    const std::size_t mapped = size + kPageBytes;  // room to align
    void* start = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
      if (last) return false;
      continue;
    }
    const auto begin = reinterpret_cast<std::uintptr_t>(start);
    const std::uintptr_t aligned = (begin + kPageBytes - 1) / kPageBytes * kPageBytes;
    if (aligned > begin) munmap(start, aligned - begin);
    const std::uintptr_t end = aligned + size;
    if (begin + mapped > end) munmap(reinterpret_cast<void*>(end), begin + mapped - end);
    // Advice only: without transparent huge pages the cache still saves the faults of every reuse.
    madvise(reinterpret_cast<void*>(aligned), size, MADV_HUGEPAGE);
    cold_.insert({aligned, size});
    return true;
  }
}

}  // namespace titan::memory
