#include "titan/parallel/cuda_library.h"

#include <dlfcn.h>
#include <cstdlib>
#include <filesystem>

#include "titan/base/log.h"
#include "titan/ops/device_kernels.h"
#include "titan/parallel/device_services.h"

namespace titan::parallel {
namespace {

/// Asks the driver itself, not the CUDA runtime: that one comes with the library that is not loaded
/// yet. Empty = it has a device, and is new enough.
std::string why_no_device() {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) return "no NVIDIA driver was found (libcuda.so.1)";
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto get_version = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDriverGetVersion"));
  const auto count_devices = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  if (init == nullptr || get_version == nullptr || count_devices == nullptr)
    return "libcuda.so.1 is not an NVIDIA driver";
  int version = 0, count = 0;
  if (get_version(&version) != 0) version = 0;
  const int code = init(0);
  if (code == 0 && count_devices(&count) != 0) count = 0;
  return driver_problem(code, version, count);
}

/// A driver that is there but cannot be used is worth a word, also where the CPU will do.
bool worth_a_word(const std::string& reason) {
  return reason.find("no NVIDIA driver") == std::string::npos &&
         reason.find("sees no device") == std::string::npos;
}

std::string library_path() {
  Dl_info self{};
  dladdr(reinterpret_cast<void*>(&load_cuda_library), &self);
  const std::filesystem::path here = self.dli_fname == nullptr ? "" : self.dli_fname;
  return (here.parent_path() / "libtitan_cuda.so").string();
}

/// Segments that grow instead of many of fixed sizes: gathered units and activations of many sizes
/// leave fewer gaps in the device's memory. LibTorch reads PYTORCH_CUDA_ALLOC_CONF, else
/// PYTORCH_ALLOC_CONF, when its CUDA library is loaded; what the user has set stands.
void prefer_growing_segments() {
  if (std::getenv("PYTORCH_CUDA_ALLOC_CONF") == nullptr)
    setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True", /*replace=*/0);
}

CudaLibrary load() {
  CudaLibrary library;
  library.reason = why_no_device();
  library.has_driver = library.reason.empty();
  if (!library.has_driver) {
    if (worth_a_word(library.reason))
      TITAN_LOG(WARNING) << "[device] the GPU is not used: " << library.reason;
    return library;
  }
  const Status loaded = load_cuda_library_from(library_path());
  library.loaded = loaded.ok();
  library.reason = message_of(loaded);
  if (!library.loaded) TITAN_LOG(WARNING) << "[device] the GPU is not used: " << library.reason;
  return library;
}

StatusOr<c10::Device> choose_cuda(int local_rank) {
  DeviceServices* services = device_services();
  const int count = services->device_count();
  if (local_rank >= count) {
    return invalid_argument(
        "[device] more ranks on this host than devices (local_rank=", local_rank,
        ", devices=", count, "); use fewer ranks or --job.device=cpu");
  }
  services->set_device(local_rank);
  const std::string old =
      kernels_problem(services->name(local_rank), services->compute_capability(local_rank),
                      services->kernels_built_for());
  ops::set_device_kernels(old.empty());
  if (!old.empty()) TITAN_LOG(WARNING) << old;
  const std::string held = others_hold(device_memory(local_rank));
  if (!held.empty()) TITAN_LOG(WARNING) << held;
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(local_rank));
}

}  // namespace

DeviceMemory device_memory(int device) {
  DeviceMemory memory{.device = str_cat("cuda:", device)};
  const DeviceServices* services = device_services();
  if (services == nullptr) return memory;
  const memory::MemoryStats stats = services->memory_stats(device);
  memory.total = stats.capacity;
  memory.own = stats.reserved;
  memory.free = services->free_memory(device);
  memory.holders = memory_holders(services->bus_id(device));
  return memory;
}

Status load_cuda_library_from(const std::string& path) {
  if (!std::filesystem::exists(path)) {
    return failed_precondition("this build has no CUDA library (", path,
                               "); it needs nvcc and TITAN_CUDA=ON");
  }
  prefer_growing_segments();
  // Global: LibTorch finds its CUDA hooks, and other libraries their kernels, by name.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr)
    return failed_precondition("the CUDA library cannot be loaded: ", dlerror());
  const auto register_all = reinterpret_cast<void (*)()>(dlsym(library, "titan_cuda_register"));
  if (register_all == nullptr) return failed_precondition("not titan's CUDA library (", path, ")");
  register_all();
  return ok_status();
}

const CudaLibrary& load_cuda_library() {
  static const CudaLibrary library = load();
  return library;
}

StatusOr<c10::Device> choose_device(const std::string& wanted, int local_rank) {
  if (wanted == "cpu") return c10::Device(c10::kCPU);
  const CudaLibrary& library = load_cuda_library();
  if (wanted == "cuda" && !library.loaded) {
    return invalid_argument("[device] job.device=cuda, but ", library.reason);
  }
  if (!library.loaded) {
    TITAN_LOG(INFO) << "[device] training on cpu (job.device=auto)";
    return c10::Device(c10::kCPU);
  }
  TITAN_ASSIGN_OR_RETURN(const c10::Device device, choose_cuda(local_rank));
  if (wanted == "auto") {
    TITAN_LOG(INFO) << "[device] training on " << device.str() << ", "
                    << device_services()->name(local_rank) << " (job.device=auto)";
  }
  return device;
}

}  // namespace titan::parallel
