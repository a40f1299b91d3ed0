#include "titan/parallel/device_services.h"

#include <utility>

namespace titan::parallel {
namespace {

// Never destroyed: CUDA's runtime may be gone before static destructors run.
std::unique_ptr<DeviceServices>& slot() {
  static auto* services = new std::unique_ptr<DeviceServices>;
  return *services;
}

}  // namespace

void register_device_services(std::unique_ptr<DeviceServices> services) {
  slot() = std::move(services);
}

DeviceServices* device_services() { return slot().get(); }

}  // namespace titan::parallel
