// planned_device.h: which device tensors of the device meta stand for. A planner runs a model's
// operations on shapes alone; each op then allocates what its kernel for that device would.
#pragma once

#include <c10/core/DeviceType.h>

namespace titan::ops {

/// The device whose kernels this thread's meta tensors imitate: the CPU unless a scope says
/// otherwise.
c10::DeviceType planned_device();

/// Whether our kernel of `schema` would serve that device: on the CPU all do; for CUDA, where the
/// library with its kernels need not be loaded to plan for it, those of a list.
bool planned_device_has(const char* schema);

class PlannedDeviceScope {
 public:
  explicit PlannedDeviceScope(c10::DeviceType device);
  ~PlannedDeviceScope();
  PlannedDeviceScope(const PlannedDeviceScope&) = delete;
  PlannedDeviceScope& operator=(const PlannedDeviceScope&) = delete;

 private:
  c10::DeviceType before_;
};

}  // namespace titan::ops
