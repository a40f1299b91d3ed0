#include "titan/parallel/backend_registry.h"

#include <map>
#include <mutex>
#include <utility>

#include "titan/base/check.h"
#include "titan/parallel/gloo_backend.h"
#include "titan/parallel/shared_memory_backend.h"

namespace titan::parallel {
namespace {

c10::intrusive_ptr<c10d::Backend> make_cpu_backend(const BackendRequest& request) {
  if (request.shared_memory) {
    if (auto shared = make_shared_memory_backend(request)) return shared;
  }
  return make_gloo_backend(request);
}

struct BackendTable {
  std::mutex mutex;
  std::map<at::DeviceType, BackendFactory> factories{{at::kCPU, make_cpu_backend}};
};

BackendTable& table() {
  static BackendTable table;
  return table;
}

}  // namespace

void register_backend(at::DeviceType type, BackendFactory factory) {
  BackendTable& backends = table();
  const std::lock_guard<std::mutex> lock(backends.mutex);
  backends.factories[type] = std::move(factory);
}

c10::intrusive_ptr<c10d::Backend> make_backend(const BackendRequest& request) {
  BackendFactory factory;
  {
    BackendTable& backends = table();
    const std::lock_guard<std::mutex> lock(backends.mutex);
    const auto found = backends.factories.find(request.device.type());
    if (found != backends.factories.end()) factory = found->second;
  }
  TITAN_CHECK(factory,
              "[parallel] no communication library for this device (device=", request.device,
              "); libtitan_cuda.so brings NCCL");
  return factory(request);
}

}  // namespace titan::parallel
