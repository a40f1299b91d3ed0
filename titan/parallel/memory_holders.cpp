// NVML's few functions by name: its header and library come with the driver, not with the build.
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>

#include "titan/parallel/device_support.h"

namespace titan::parallel {
namespace {

/// nvmlProcessInfo_t since NVML 11 (nvml.h): what the _v3 function fills.
struct ProcessInfo {
  unsigned int pid;
  unsigned long long used_bytes;  // all ones = not known
  unsigned int gpu_instance, compute_instance;
};
using Device = void*;

/// The library, shut down and closed at the end.
class Nvml {
 public:
  Nvml() : library_(dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {
    started_ = call<int (*)()>("nvmlInit_v2") != nullptr && call<int (*)()>("nvmlInit_v2")() == 0;
  }
  ~Nvml() {
    if (started_ && call<int (*)()>("nvmlShutdown") != nullptr) call<int (*)()>("nvmlShutdown")();
    if (library_ != nullptr) dlclose(library_);
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  bool started() const { return started_; }
  template <class Function>
  Function call(const char* name) const {
    return library_ == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(library_, name));
  }

 private:
  void* library_;
  bool started_ = false;
};

std::string program_of(int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

}  // namespace

std::vector<MemoryHolder> memory_holders(const std::string& bus_id) {
  std::vector<MemoryHolder> holders;
  const Nvml nvml;
  if (!nvml.started() || bus_id.empty()) return holders;
  const auto find = nvml.call<int (*)(const char*, Device*)>("nvmlDeviceGetHandleByPciBusId_v2");
  const auto list = nvml.call<int (*)(Device, unsigned int*, ProcessInfo*)>(
      "nvmlDeviceGetComputeRunningProcesses_v3");
  Device device = nullptr;
  if (find == nullptr || list == nullptr || find(bus_id.c_str(), &device) != 0) return holders;
  ProcessInfo processes[64] = {};
  auto count = static_cast<unsigned int>(std::size(processes));
  if (list(device, &count, processes) != 0) return holders;
  for (unsigned int i = 0; i < std::min<std::size_t>(count, std::size(processes)); ++i) {
    const auto pid = static_cast<int64_t>(processes[i].pid);
    if (pid == getpid()) continue;
    const bool known = processes[i].used_bytes != ~0ULL;
    holders.push_back({.pid = pid,
                       .program = program_of(pid),
                       .bytes = known ? static_cast<int64_t>(processes[i].used_bytes) : 0});
  }
  std::sort(holders.begin(), holders.end(),
            [](const MemoryHolder& a, const MemoryHolder& b) { return a.bytes > b.bytes; });
  return holders;
}

}  // namespace titan::parallel
