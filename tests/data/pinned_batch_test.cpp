#include "tests/support/catch.h"

#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>

#include "titan/data/dataloader.h"
#include "titan/data/one_pass_loader.h"

#include "tests/data/fake_dataset.h"

namespace titan {
namespace {

/// Stands for a device's allocator of pinned memory: ordinary memory, known by address.
class PinnedMemory : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    void* const block = ::operator new(bytes);
    const std::lock_guard<std::mutex> lock(mutex());
    blocks().insert(block);
    return {block, block, &free, at::kCPU};
  }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
  static bool has(const void* block) {
    const std::lock_guard<std::mutex> lock(mutex());
    return blocks().count(block) > 0;
  }

 private:
  static void free(void* block) {
    const std::lock_guard<std::mutex> lock(mutex());
    blocks().erase(block);
    ::operator delete(block);
  }
  static std::mutex& mutex() {
    static std::mutex mutex;
    return mutex;
  }
  static std::set<const void*>& blocks() {
    static std::set<const void*> blocks;
    return blocks;
  }
};

/// LibTorch asks the device that the process has for pinned memory; without a GPU it is this one.
struct PinningHooks : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return false; }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    static PinnedMemory memory;
    return &memory;
  }
  bool isPinnedPtr(const void* data) const override { return PinnedMemory::has(data); }
};

void give_process_pinned_memory() {
  if (at::hasCUDA() || at::isPrivateUse1HooksRegistered()) return;
  c10::register_privateuse1_backend("pinning");  // both for the life of the process
  at::RegisterPrivateUse1HooksInterface(new PinningHooks);
}

/// Samples of one field whose form is known beforehand.
class LaidOut : public testing::FakeDataset {
 public:
  using FakeDataset::FakeDataset;
  std::vector<FieldLayout> layout() const override { return {{"values", {3}, at::kFloat}}; }
  Status read_to(int64_t index, const DrawKey&,
                 const std::vector<std::byte*>& places) const override {
    const std::vector<float> values(3, static_cast<float>(index));
    std::memcpy(places.at(0), values.data(), 3 * sizeof(float));
    return ok_status();
  }
};

Batch first_batch(const std::shared_ptr<const Dataset>& dataset, bool pinned) {
  auto loader = DataLoader::create(
      dataset, {.micro_batch = 4, .global_batch = 4, .shuffle = false, .pinned = pinned});
  REQUIRE(loader.ok());
  StatusOr<Batch> batch = (*loader)->next();
  REQUIRE(batch.ok());
  return *std::move(batch);
}

}  // namespace

TEST_CASE("A batch of a known layout lies in pinned memory where that is asked for", "[data]") {
  give_process_pinned_memory();
  const auto dataset = std::make_shared<LaidOut>(8);
  for (const bool pinned : {true, false}) {
    const Batch batch = first_batch(dataset, pinned);
    CHECK(batch.fields.get("values").is_pinned() == pinned);
    CHECK(batch.sample.is_pinned() == pinned);
    CHECK(batch.epoch.is_pinned() == pinned);
    CHECK(batch.sample.sizes() == at::IntArrayRef{4});
    for (int64_t i = 0; i < 4; ++i)
      CHECK(batch.fields.get("values")[i][2].item<float>() == static_cast<float>(i));
    OnePassLoader pass(dataset, {.batch_size = 3, .pinned = pinned});
    const StatusOr<PassBatch> one = pass.next();
    REQUIRE(one.ok());
    CHECK(one->batch.fields.get("values").is_pinned() == pinned);
    CHECK(one->batch.fields.get("values")[2][0].item<float>() == 2);
  }
}

TEST_CASE("What a worker allocates for a batch is ordinary memory", "[data]") {
  give_process_pinned_memory();
  const Batch batch = first_batch(std::make_shared<testing::FakeDataset>(8), true);
  CHECK_FALSE(batch.fields.get("image").is_pinned());
  CHECK(batch.sample.is_pinned());
}

}  // namespace titan
