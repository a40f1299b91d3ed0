#include "titan/checkpoint/staging.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <thread>

#include "titan/base/ceil_div.h"
#include "titan/base/check.h"
#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/parallel/device_services.h"

namespace titan::checkpoint {
namespace {

bool any_on_device(const RankFile& file) {
  return std::any_of(file.tensors.begin(), file.tensors.end(),
                     [](const parallel::FlatValues& tensor) { return !tensor.is_cpu(); });
}

/// False where it stays ordinary memory, from where the same copies are made, only more slowly.
bool pin(void* pages, int64_t bytes) {
  parallel::DeviceServices* const services = parallel::device_services();
  if (services == nullptr) return false;
  const std::string reason = services->pin(pages, static_cast<std::size_t>(bytes));
  if (!reason.empty())
    TITAN_LOG(WARNING) << "[checkpoint] " << human_bytes(static_cast<double>(bytes))
                       << " of host memory cannot be pinned (" << reason
                       << "): training waits longer for the copy that is saved";
  return reason.empty();
}

}  // namespace

Staging::~Staging() { free(); }

void Staging::free() {
  try {
    wait();                          // the device may be writing there
  } catch (const std::exception&) {  // a device that has failed writes nothing more
  }
  arrived_ = {};
  buffer_.reset();
}

// Not LibTorch's pinned memory: its cache rounds every request up to a power of two, 143 GB of
// state to 256 GiB.
void Staging::reserve(const RankFile& file) {
  const auto wanted = static_cast<int64_t>(file.size_bytes);
  if (buffer_.defined() && buffer_.numel() >= wanted) return;
  free();  // the old room first: both at once may not fit
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t bytes = page * ceil_div(std::max<int64_t>(wanted, 1), page);
  void* const pages = mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  TITAN_CHECK(pages != MAP_FAILED,
              "[checkpoint] no host memory for the copy of the state that "
              "checkpoint.async_mode=async writes (bytes=",
              bytes, ")");
  at::from_blob(pages, {bytes}, at::kByte).zero_();  // all threads, before pinning would by one
  const auto give_back = [bytes, pinned = any_on_device(file) && pin(pages, bytes)](void* begin) {
    parallel::DeviceServices* const services = parallel::device_services();
    if (pinned && services != nullptr) services->unpin(begin);
    munmap(begin, static_cast<std::size_t>(bytes));
  };
  buffer_ = at::from_blob(pages, {bytes}, give_back, at::kByte);
}

void Staging::copy(const RankFile& file) {
  const at::NoGradGuard no_grad;
  reserve(file);
  auto* image = static_cast<std::byte*>(buffer_.mutable_data_ptr());
  std::memcpy(image, file.header->data(), file.header->size());
  std::uint64_t at = file.header->size();
  for (const parallel::FlatValues& tensor : file.tensors) {
    // The header is padded to 8 bytes and larger elements come first: `at` is aligned.
    at::from_blob(image + at, {tensor.numel()}, at::TensorOptions().dtype(tensor.dtype()))
        .copy_(tensor.values(), /*non_blocking=*/true);
    at += static_cast<std::uint64_t>(tensor.nbytes());
  }
  used_ = at;
  arrived_ = {};
  if (!any_on_device(file)) return;
  parallel::DeviceServices* services = parallel::device_services();
  TITAN_CHECK(services != nullptr, "[checkpoint] no services for the device of the state");
  const std::shared_ptr<parallel::DeviceEvent> event = services->make_event();
  event->record();
  arrived_ = [event] { return event->passed(); };
}

void Staging::wait() const {
  while (arrived_ && !arrived_()) std::this_thread::sleep_for(std::chrono::microseconds(200));
}

std::vector<FilePiece> Staging::pieces() const {
  return {{used_, static_cast<const std::byte*>(buffer_.const_data_ptr())}};
}

}  // namespace titan::checkpoint
