#include "titan/ops/backend.h"

#include <atomic>

#include <ATen/core/dispatch/Dispatcher.h>

#include "titan/ops/device_kernels.h"
#include "titan/ops/planned_device.h"

namespace titan::ops {
namespace {
std::atomic<Backend>& chosen() {
  static std::atomic<Backend> backend{Backend::kFused};
  return backend;
}
std::atomic<bool>& usable_on_device() {
  static std::atomic<bool> usable{true};
  return usable;
}
}  // namespace

bool device_kernels() { return usable_on_device().load(std::memory_order_relaxed); }
void set_device_kernels(bool usable) { usable_on_device().store(usable); }

void set_backend(Backend backend) { chosen().store(backend); }

Status set_backend(const std::string& name) {
  if (name != "fused" && name != "reference") {
    return invalid_argument(
        "[ops] kernels.backend must be fused or reference (kernels.backend=", name, ")");
  }
  set_backend(name == "fused" ? Backend::kFused : Backend::kReference);
  return ok_status();
}

Backend backend() { return chosen().load(); }

bool use_fused(const at::Tensor& x, const char* schema) {
  if (backend() != Backend::kFused) return false;
  if (x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16) return false;
  if (x.is_cpu()) return true;
  if (x.is_meta()) return planned_device_has(schema);
  if (!x.is_cuda() || !device_kernels()) return false;
  // CUDA kernels come from libtitan_cuda.so, which not every machine loads.
  const auto handle = c10::Dispatcher::singleton().findSchema({schema, ""});
  return handle.has_value() && handle->hasKernelForDispatchKey(c10::DispatchKey::CUDA);
}

}  // namespace titan::ops
