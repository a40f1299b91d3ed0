#include "titan/checkpoint/staging.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

#include "titan/parallel/device_services.h"

namespace titan::checkpoint {
namespace {

bool any_on_device(const RankFile& file) {
  return std::any_of(file.tensors.begin(), file.tensors.end(),
                     [](const parallel::FlatValues& tensor) { return !tensor.is_cpu(); });
}

}  // namespace

void Staging::reserve(const RankFile& file) {
  const auto wanted = static_cast<int64_t>(file.size_bytes);
  if (buffer_.defined() && buffer_.numel() >= wanted) return;
  buffer_.reset();  // the old room first: both at once may not fit
  buffer_ =
      at::empty({wanted}, at::TensorOptions().dtype(at::kByte).pinned_memory(any_on_device(file)));
  buffer_.zero_();
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
