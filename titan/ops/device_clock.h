// device_clock.h: how long work takes where it runs.
#pragma once

#include <chrono>

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace titan::ops::detail {

/// Seconds from one moment to the next, on the host for the CPU, by events for a device (that of
/// `like`). // host sync
template <class Work>
double seconds_on_device(const at::Tensor& like, const Work& work) {
  if (like.is_cpu()) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  const c10::impl::VirtualGuardImpl device(like.device().type());
  const c10::Stream stream = device.getStream(like.device());
  c10::Event begin(like.device().type(), c10::EventFlag::BACKEND_DEFAULT);
  c10::Event end(like.device().type(), c10::EventFlag::BACKEND_DEFAULT);
  begin.record(stream);
  work();
  end.record(stream);
  end.synchronize();  // host sync
  constexpr double kSecondsPerMillisecond = 1e-3;
  return kSecondsPerMillisecond * begin.elapsedTime(end);
}

}  // namespace titan::ops::detail
