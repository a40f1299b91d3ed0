// CUDAGuard.h: for the CUDA library's files compiled against the emulation of CUDA
// (tests/kernels/cuda_emulation): there is one device, the host.
#pragma once

#include <c10/core/Device.h>

namespace c10::cuda {

struct CUDAGuard {
  explicit CUDAGuard(c10::Device) {}
};

}  // namespace c10::cuda
