// device_support.h: what is said of a GPU that cannot be used, or not as well as another: functions
// of plain values, so that a machine without one can test them. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace titan::parallel {

/// CUDA's version that LibTorch was built with, as the driver counts: 1000 major + 10 minor.
inline constexpr int kCudaNeeded = 13000;

/// Why a driver cannot be used that answers cuInit with `init`, cuDriverGetVersion with `version`
/// (the newest CUDA it knows; 0 = no answer) and has `devices` devices. Empty: it can.
std::string driver_problem(int init, int version, int devices);

/// The line on a device of compute capability `capability` (75 = 7.5) with kernels built for
/// `built_for` and newer ones; empty where they run, or one of the two is unknown (0).
std::string kernels_problem(const std::string& device_name, int capability, int built_for);

/// A process with memory of a device.
struct MemoryHolder {
  int64_t pid = 0;
  std::string program;  ///< empty = unknown (of another container)
  int64_t bytes = 0;    ///< 0 = unknown
};

/// How the memory of a device is divided, in bytes.
struct DeviceMemory {
  std::string device;  ///< "cuda:0"
  int64_t total = 0;
  int64_t free = 0;
  int64_t own = 0;                         ///< what this process's allocator has reserved
  std::vector<MemoryHolder> holders = {};  ///< other processes, where the driver names them

  /// What other processes hold, a CUDA context of our own taken off: not exact, so 0 where it is
  /// less than 2 % of the device or 2 GiB.
  int64_t held_by_others() const;
};

/// The line on memory that other processes hold; empty where they hold none.
std::string others_hold(const DeviceMemory& memory);

/// What an out-of-memory error of LibTorch's (`error`, its whole text) means on that device: how
/// much was asked for, how much is free and of how much, who holds the rest.
std::string out_of_memory_text(const std::string& error, const DeviceMemory& memory);

/// The processes that have memory of the device at `bus_id`, without this one: as the driver's NVML
/// library (libnvidia-ml.so.1) tells; empty where it does not.
std::vector<MemoryHolder> memory_holders(const std::string& bus_id);

}  // namespace titan::parallel
