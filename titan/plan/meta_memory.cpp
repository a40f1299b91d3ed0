#include "titan/plan/meta_memory.h"

#include <atomic>
#include <mutex>

#include <c10/core/Allocator.h>

#include "titan/base/check.h"

namespace titan::plan {
namespace {

/// Where blocks report to; null when nobody listens. A block remembers which listener it was
/// counted by, so one that outlives it is not taken off the next.
struct Listener {
  std::mutex mutex;
  LiveBytes* live = nullptr;
  int64_t generation = 0;
};
Listener& listener() {
  static Listener* const one = new Listener;  // blocks may outlive every static
  return *one;
}

struct Block {
  int64_t bytes;
  int64_t generation;
};

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t size) override {
    Listener& to = listener();
    const std::lock_guard<std::mutex> lock(to.mutex);
    auto* const block = new Block{static_cast<int64_t>(size), to.generation};
    if (to.live != nullptr) to.live->add(block->bytes);
    return {nullptr, block, &CountingAllocator::free_block, c10::Device(c10::DeviceType::Meta)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* /*target*/, const void* /*source*/, std::size_t /*size*/) const override {}

 private:
  static void free_block(void* context) {
    auto* const block = static_cast<Block*>(context);
    Listener& to = listener();
    {
      const std::lock_guard<std::mutex> lock(to.mutex);
      if (to.live != nullptr && to.generation == block->generation) to.live->subtract(block->bytes);
    }
    delete block;
  }
};

CountingAllocator& counting_allocator() {
  static CountingAllocator* const one = new CountingAllocator;
  return *one;
}

c10::Allocator* usual = nullptr;

}  // namespace

MetaMemory::MetaMemory(LiveBytes& live) {
  Listener& to = listener();
  const std::lock_guard<std::mutex> lock(to.mutex);
  TITAN_CHECK(to.live == nullptr, "[plan] meta memory is counted by one at a time");
  to.live = &live;
  ++to.generation;
  usual = c10::GetAllocator(c10::DeviceType::Meta);
  c10::SetAllocator(c10::DeviceType::Meta, &counting_allocator());
}

MetaMemory::~MetaMemory() {
  c10::SetAllocator(c10::DeviceType::Meta, usual);
  Listener& to = listener();
  const std::lock_guard<std::mutex> lock(to.mutex);
  to.live = nullptr;
}

}  // namespace titan::plan
