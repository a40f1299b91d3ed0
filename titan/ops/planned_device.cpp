#include "titan/ops/planned_device.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "titan/ops/device_kernels.h"

namespace titan::ops {
namespace {

thread_local c10::DeviceType device = c10::DeviceType::CPU;

// As titan/ops/cuda registers them; attention runs LibTorch's fused kernel, which keeps what ours
// keeps: the result and a logarithm of sums a row.
constexpr std::array<std::string_view, 16> kWithCudaKernel = {
    "titan::modulate_norm",  "titan::philox_normal",
    "titan::philox_uniform", "titan::attention",
    "titan::gelu",           "titan::swiglu",
    "titan::rope",           "titan::mse",
    "titan::gated_residual", "titan::joint_qkv",
    "titan::parallel_qkv",   "titan::float8_quantize",
    "titan::float8_normed",  "titan::float8_gelu",
    "titan::float8_swiglu",  "titan::float8_beside_gelu"};

}  // namespace

c10::DeviceType planned_device() { return device; }

bool planned_device_has(const char* schema) {
  return device == c10::DeviceType::CPU ||
         (device_kernels() && std::find(kWithCudaKernel.begin(), kWithCudaKernel.end(), schema) !=
                                  kWithCudaKernel.end());
}

PlannedDeviceScope::PlannedDeviceScope(c10::DeviceType wanted) : before_(device) {
  device = wanted;
}
PlannedDeviceScope::~PlannedDeviceScope() { device = before_; }

}  // namespace titan::ops
