// cuda_services.h: DeviceServices over CUDA's runtime and LibTorch's caching allocator. Part of
// libtitan_cuda.so.
#pragma once

#include <memory>

#include "titan/parallel/device_services.h"

namespace titan::parallel {

std::unique_ptr<DeviceServices> make_cuda_services();

}  // namespace titan::parallel
