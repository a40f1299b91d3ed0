// device_services.h: what only a device's own library knows: its name, memory, clock.
// libtitan_cuda.so fills it in when it is loaded; no CUDA header is needed to use it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "titan/memory/memory_stats.h"

namespace titan::parallel {

/// A moment in the work of a device's current stream.
class DeviceEvent {
 public:
  virtual ~DeviceEvent() = default;
  /// Marks the moment when all work queued so far on the calling thread's current stream is done.
  virtual void record() = 0;
  /// True once that moment has passed. Does not wait.
  virtual bool passed() const = 0;
  /// Seconds from `earlier` (an event of the same services, recorded before) to this one; waits
  /// until this one has passed. // host sync
  virtual double seconds_since(const DeviceEvent& earlier) = 0;
};

/// Device numbers count the devices that this process sees.
class DeviceServices {
 public:
  virtual ~DeviceServices() = default;
  virtual int device_count() const = 0;
  /// As the driver reports it: "NVIDIA H200".
  virtual std::string name(int device) const = 0;
  /// 90 for compute capability 9.0; 0 where that means nothing.
  virtual int compute_capability(int device) const {
    (void)device;
    return 0;
  }
  /// Makes `device` the current one of the calling thread.
  virtual void set_device(int device) = 0;
  /// Waits until all work of the device is done. // host sync
  virtual void synchronize(int device) = 0;
  /// Figures of the caching allocator, in bytes; capacity = the device's memory.
  virtual memory::MemoryStats memory_stats(int device) const = 0;
  virtual void reset_memory_peak(int device) = 0;
  virtual std::unique_ptr<DeviceEvent> make_event() = 0;
  /// Keeps where each block of memory was allocated, for snapshots, from now on.
  virtual void record_memory_history(bool enabled) = 0;
  /// The allocator's blocks and their history, in the pickle that pytorch.org/memory_viz reads.
  virtual std::string memory_snapshot() const = 0;
};

/// Sets the process's services; an empty pointer removes them (tests).
void register_device_services(std::unique_ptr<DeviceServices> services);

/// Null where no device library is loaded.
DeviceServices* device_services();

}  // namespace titan::parallel
