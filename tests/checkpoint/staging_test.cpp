#include "tests/support/catch.h"

#include "titan/checkpoint/staging.h"

#include <unistd.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ops/empty.h>

#include "titan/parallel/device_services.h"

namespace titan::checkpoint {
namespace {

/// What a device was asked to pin.
struct Pinned {
  std::map<void*, std::size_t> now;
  std::vector<std::size_t> ever;
  bool overlapped = false;  ///< a second range was pinned before the first was given back
  bool strange = false;     ///< memory was given back that was not pinned
  std::string refusal;
};

class PinningServices : public parallel::DeviceServices {
 public:
  explicit PinningServices(Pinned& pinned) : pinned_(pinned) {}
  int device_count() const override { return 1; }
  std::string name(int) const override { return "pinning"; }
  void set_device(int) override {}
  void synchronize(int) override {}
  memory::MemoryStats memory_stats(int) const override { return {}; }
  void reset_memory_peak(int) override {}
  std::unique_ptr<parallel::DeviceEvent> make_event() override { return nullptr; }
  void record_memory_history(bool) override {}
  std::string memory_snapshot() const override { return {}; }
  std::string pin(void* begin, std::size_t bytes) override {
    pinned_.ever.push_back(bytes);
    if (!pinned_.refusal.empty()) return pinned_.refusal;
    pinned_.overlapped |= !pinned_.now.empty();
    pinned_.now[begin] = bytes;
    return "";
  }
  void unpin(void* begin) override { pinned_.strange |= pinned_.now.erase(begin) != 1; }

 private:
  Pinned& pinned_;
};

/// While alive, the process has a device that pins memory.
class PinningDevice {
 public:
  explicit PinningDevice(Pinned& pinned) {
    parallel::register_device_services(std::make_unique<PinningServices>(pinned));
  }
  ~PinningDevice() { parallel::register_device_services(nullptr); }
};

/// `device` meta stands for a GPU: its tensors lie elsewhere than in the host's memory.
RankFile file_of(at::Device device, int64_t floats) {
  RankFile file;
  file.header = std::make_shared<const std::string>("12345678");
  file.tensors = {{at::empty({floats}, at::TensorOptions().dtype(at::kFloat).device(device))}};
  file.size_bytes = file.header->size() + 4 * static_cast<std::uint64_t>(floats);
  return file;
}

}  // namespace

TEST_CASE("A copy's memory is pinned by the page and given back before there is more of it",
          "[checkpoint]") {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  Pinned pinned;
  const PinningDevice device(pinned);
  {
    Staging staging;
    staging.reserve(file_of(at::kMeta, 300'000));  // 1 200 008 bytes: 293 pages, not 512
    REQUIRE(pinned.ever == std::vector<std::size_t>{(1'200'008 + page - 1) / page * page});
    REQUIRE(pinned.now.size() == 1);
    REQUIRE(reinterpret_cast<std::uintptr_t>(pinned.now.begin()->first) % page == 0);
    staging.reserve(file_of(at::kMeta, 200'000));  // fits
    REQUIRE(pinned.ever.size() == 1);
    staging.reserve(file_of(at::kMeta, 600'000));
    REQUIRE(pinned.ever.back() == (2'400'008 + page - 1) / page * page);
    REQUIRE_FALSE(pinned.overlapped);
    REQUIRE(pinned.now.size() == 1);
  }
  REQUIRE(pinned.now.empty());
  REQUIRE_FALSE(pinned.strange);
}

TEST_CASE("A copy of a state in the host's memory is not pinned", "[checkpoint]") {
  Pinned pinned;
  const PinningDevice device(pinned);
  Staging staging;
  RankFile file = file_of(at::kCPU, 1000);
  file.tensors[0].stored.fill_(2.5F);
  staging.copy(file);
  file.tensors[0].stored.zero_();
  REQUIRE(pinned.ever.empty());
  const std::vector<FilePiece> pieces = staging.pieces();
  REQUIRE(pieces.size() == 1);
  REQUIRE(pieces[0].size_bytes == 4008);
  REQUIRE(std::string(reinterpret_cast<const char*>(pieces[0].data), 8) == "12345678");
  const auto* values = reinterpret_cast<const float*>(pieces[0].data + 8);
  REQUIRE(std::vector<float>(values, values + 1000) == std::vector<float>(1000, 2.5F));
}

TEST_CASE("Memory that the device does not pin serves all the same", "[checkpoint]") {
  Pinned pinned;
  pinned.refusal = "out of memory";
  const PinningDevice device(pinned);
  {
    Staging staging;
    staging.reserve(file_of(at::kMeta, 1000));
    REQUIRE(pinned.ever.size() == 1);
    staging.copy(file_of(at::kCPU, 900));
    REQUIRE(pinned.ever.size() == 1);  // asked once, not at every save
    REQUIRE(staging.pieces()[0].size_bytes == 3608);
  }
  REQUIRE_FALSE(pinned.strange);  // what was not pinned is not given back to the device
}

}  // namespace titan::checkpoint
