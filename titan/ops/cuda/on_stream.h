// on_stream.h: how the CUDA library calls a kernel. Part of libtitan_cuda.so.
#pragma once

#include <utility>

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

namespace titan::ops {

/// A function whose last argument is a stream, as one without: it runs on the current stream, and
/// its launch is checked. The device must be current (CUDAGuard).
template <auto kKernel>
struct OnStream {
  template <class... Arguments>
  void operator()(Arguments&&... arguments) const {
    kKernel(std::forward<Arguments>(arguments)..., c10::cuda::getCurrentCUDAStream().stream());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }
};

}  // namespace titan::ops
