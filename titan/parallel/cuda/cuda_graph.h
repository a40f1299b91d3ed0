// cuda_graph.h: DeviceGraph over CUDA graphs. Part of libtitan_cuda.so.
#pragma once

#include <memory>

#include <c10/core/Device.h>

#include "titan/parallel/device_services.h"

namespace titan::parallel {

/// A graph of `device` with a pool of memory of its own.
std::unique_ptr<DeviceGraph> make_cuda_graph(c10::Device device);

}  // namespace titan::parallel
