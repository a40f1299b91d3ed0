#include "titan/memory/cpu_allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "titan/base/check.h"
#include "titan/base/human.h"
#include "titan/memory/page_runs.h"

namespace titan::memory {
namespace {

constexpr std::size_t kAlignment = 64;  // LibTorch's gAlignment: a cache line, an AVX-512 register
constexpr std::size_t kSmallLimit = 4 << 10;   // up to here malloc is quick and never faults anew
constexpr std::size_t kMediumLimit = 2 << 20;  // above: runs of 2 MiB pages
constexpr std::size_t kMaxClasses = 96;

/// In front of small and medium blocks. Large blocks start on a page and are found in a table
/// instead: a header would push a tensor of exactly 2 MiB into a second page.
struct alignas(kAlignment) Header {
  std::size_t size;
  std::size_t size_class;  ///< kNoClass for small blocks
};
constexpr std::size_t kNoClass = ~std::size_t{0};

struct SizeClass {
  std::size_t index;
  std::size_t capacity;
};
/// Eight classes in each power of two: at most 1/8 of a block is wasted.
SizeClass class_of(std::size_t size) {
  const int power =
      static_cast<int>(std::bit_width(size - 1)) - 1;  // 2^power < size <= 2^(power + 1)
  const std::size_t step = std::size_t{1} << (power - 3);
  const std::size_t capacity = (size + step - 1) / step * step;
  const std::size_t within = (capacity - (std::size_t{1} << power)) / step;  // 1..8
  const auto base = static_cast<std::size_t>(power + 1) - std::bit_width(kSmallLimit);
  return {base * 8 + within - 1, capacity};
}

std::size_t round_to_pages(std::size_t size) {
  return (size + PageRuns::kPageBytes - 1) / PageRuns::kPageBytes * PageRuns::kPageBytes;
}

class Gauge {
 public:
  void add(std::size_t size) {
    const std::size_t now = value_.fetch_add(size, std::memory_order_relaxed) + size;
    std::size_t peak = peak_.load(std::memory_order_relaxed);
    while (peak < now && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
    }
  }
  void subtract(std::size_t size) { value_.fetch_sub(size, std::memory_order_relaxed); }
  void reset_peak() {
    peak_.store(value_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  std::size_t value() const { return value_.load(std::memory_order_relaxed); }
  std::size_t peak() const { return peak_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::size_t> value_{0};
  std::atomic<std::size_t> peak_{0};
};

class CpuAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t size) override {
    void* data = size == 0 ? nullptr : take(size);
    return {data, data, &CpuAllocator::free_block, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &CpuAllocator::free_block; }
  void copy_data(void* target, const void* source, std::size_t size) const override {
    default_copy_data(target, source, size);
  }

  MemoryStats stats() const;
  void reset_peak() {
    active_.reset_peak();
    reserved_.reset_peak();
  }
  std::size_t release_cache();

 private:
  void* take(std::size_t size);
  void* try_take(std::size_t size);
  void* take_small(std::size_t size);
  void* take_medium(std::size_t size);
  void* take_large(std::size_t size);
  void give(void* data);
  bool give_large(void* data);
  [[noreturn]] void fail(std::size_t size);

  static void free_block(void* data);

  std::mutex mutex_;
  PageRuns runs_;
  std::unordered_map<void*, std::size_t> large_;                ///< bytes asked for
  std::array<std::vector<Header*>, kMaxClasses> medium_cache_;  ///< unused medium blocks
  Gauge active_;
  Gauge reserved_;
  std::atomic<int64_t> num_retries_{0};
  std::atomic<int64_t> num_ooms_{0};
};

CpuAllocator& allocator() {
  static CpuAllocator* const instance =
      new CpuAllocator;  // never destroyed: tensors may outlive every static
  return *instance;
}
std::atomic<bool>& installed() {
  static std::atomic<bool> value{false};
  return value;
}

void* CpuAllocator::take(std::size_t size) {
  void* data = try_take(size);
  if (data == nullptr) {
    release_cache();
    data = try_take(size);
    if (data == nullptr) fail(size);
    num_retries_.fetch_add(1, std::memory_order_relaxed);
  }
  active_.add(size);
  c10::profiledCPUMemoryReporter().New(data, size);
  return data;
}

void* CpuAllocator::try_take(std::size_t size) {
  if (size <= kSmallLimit) return take_small(size);
  return size <= kMediumLimit ? take_medium(size) : take_large(size);
}

Header* new_block(std::size_t capacity) {
  void* block = nullptr;
  if (posix_memalign(&block, kAlignment, sizeof(Header) + capacity) != 0) return nullptr;
  return static_cast<Header*>(block);
}

void* CpuAllocator::take_small(std::size_t size) {
  Header* header = new_block(size);
  if (header == nullptr) return nullptr;
  *header = {size, kNoClass};
  reserved_.add(sizeof(Header) + size);
  return header + 1;
}

void* CpuAllocator::take_medium(std::size_t size) {
  const SizeClass size_class = class_of(size);
  Header* header = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<Header*>& cache = medium_cache_[size_class.index];
    if (!cache.empty()) {
      header = cache.back();
      cache.pop_back();
    }
  }
  if (header == nullptr) {
    header = new_block(size_class.capacity);
    if (header == nullptr) return nullptr;
    reserved_.add(sizeof(Header) + size_class.capacity);
  }
  *header = {size, size_class.index};
  return header + 1;
}

void* CpuAllocator::take_large(std::size_t size) {
  if (size > (std::size_t{1} << 62)) return nullptr;  // rounding up would overflow
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::size_t before = runs_.reserved();
  void* data = runs_.take(round_to_pages(size));
  if (data == nullptr) return nullptr;
  reserved_.add(runs_.reserved() - before);
  large_.emplace(data, size);
  return data;
}

void CpuAllocator::give(void* data) {
  c10::profiledCPUMemoryReporter().Delete(data);
  // Every large block is aligned to a page; the odd small one that is too is not in the table.
  const bool may_be_large = reinterpret_cast<std::uintptr_t>(data) % PageRuns::kPageBytes == 0;
  if (may_be_large && give_large(data)) return;
  Header* header = static_cast<Header*>(data) - 1;
  active_.subtract(header->size);
  if (header->size_class == kNoClass) {
    reserved_.subtract(sizeof(Header) + header->size);
    std::free(header);
    return;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  medium_cache_[header->size_class].push_back(header);
}

bool CpuAllocator::give_large(void* data) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = large_.find(data);
  if (found == large_.end()) return false;
  active_.subtract(found->second);
  runs_.give(data, round_to_pages(found->second));
  large_.erase(found);
  return true;
}

void CpuAllocator::free_block(void* data) {
  if (data != nullptr) allocator().give(data);
}

std::size_t CpuAllocator::release_cache() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::size_t released = runs_.release_unused();
  for (std::vector<Header*>& cache : medium_cache_) {
    for (Header* header : cache) {
      released += sizeof(Header) + class_of(header->size).capacity;
      std::free(header);
    }
    cache.clear();
    cache.shrink_to_fit();
  }
  reserved_.subtract(released);
  return released;
}

MemoryStats CpuAllocator::stats() const {
  MemoryStats stats;
  stats.active = static_cast<int64_t>(active_.value());
  stats.peak_active = static_cast<int64_t>(active_.peak());
  stats.reserved = static_cast<int64_t>(reserved_.value());
  stats.peak_reserved = static_cast<int64_t>(reserved_.peak());
  stats.capacity = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  stats.num_alloc_retries = num_retries_.load(std::memory_order_relaxed);
  stats.num_ooms = num_ooms_.load(std::memory_order_relaxed);
  return stats;
}

void CpuAllocator::fail(std::size_t size) {
  num_ooms_.fetch_add(1, std::memory_order_relaxed);
  c10::profiledCPUMemoryReporter().OutOfMemory(size);
  const MemoryStats now = stats();
  throw Error(str_cat(
      "[memory] out of CPU memory: cannot allocate ", human_bytes(static_cast<double>(size)),
      " (tensors use ", human_bytes(static_cast<double>(now.active)), ", at most ",
      human_bytes(static_cast<double>(now.peak_active)), " so far; the machine has ",
      human_bytes(static_cast<double>(now.capacity)), ")"));
}

}  // namespace

bool install_cpu_allocator() {
  if (installed()) return true;
  const char* wish = std::getenv("TITAN_CPU_CACHE");
  if (wish != nullptr && std::string_view(wish) == "0") return false;
  c10::SetCPUAllocator(&allocator());
  installed() = true;
  return true;
}

std::optional<MemoryStats> cpu_memory_stats() {
  if (!installed()) return std::nullopt;
  return allocator().stats();
}

void reset_cpu_memory_peak() { allocator().reset_peak(); }

std::size_t release_cpu_cache() { return allocator().release_cache(); }

}  // namespace titan::memory
