// device_services.h: what only a device's own library knows: its name, memory, clock.
// libtitan_cuda.so fills it in when it is loaded; no CUDA header is needed to use it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
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

/// Work of a device that was recorded once and is enqueued as a whole as often as wanted: the same
/// kernels on the same addresses with the same host scalars.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  /// Records what `work` enqueues on the calling thread's current stream; none of it runs. The
  /// memory that `work` allocates stays the graph's. Waits for the device first. // host sync
  /// Throws what `work` throws, or why something in it cannot be recorded (a copy from the host's
  /// memory, a wait); then nothing is held. Once.
  virtual void capture(const std::function<void()>& work) = 0;
  /// Enqueues what was recorded on the calling thread's current stream.
  virtual void replay() = 0;
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
  /// The lowest compute capability that this build's own kernels run on; 0 where that means
  /// nothing.
  virtual int kernels_built_for() const { return 0; }
  /// Bytes of the device's memory that no process holds; -1 = unknown.
  virtual int64_t free_memory(int device) const {
    (void)device;
    return -1;
  }
  /// Where the device sits, as NVML and nvidia-smi name it ("00000000:3B:00.0"); empty = unknown.
  virtual std::string bus_id(int device) const {
    (void)device;
    return {};
  }
  /// Makes `device` the current one of the calling thread.
  virtual void set_device(int device) = 0;
  /// Waits until all work of the device is done. // host sync
  virtual void synchronize(int device) = 0;
  /// Figures of the caching allocator, in bytes; capacity = the device's memory.
  virtual memory::MemoryStats memory_stats(int device) const = 0;
  virtual void reset_memory_peak(int device) = 0;
  virtual std::unique_ptr<DeviceEvent> make_event() = 0;
  /// Locks whole pages of the host's memory, so that copies between them and the device do not make
  /// the host wait. Why it could not be done; empty = done.
  virtual std::string pin(void* begin, std::size_t bytes) {
    (void)begin, (void)bytes;
    return "this device's library cannot";
  }
  /// Ends what pin() at `begin` did; no copy from or to there is under way any more.
  virtual void unpin(void* begin) { (void)begin; }
  /// Null where work on `device` (-1 = the CPU) cannot be recorded.
  virtual std::unique_ptr<DeviceGraph> make_graph(int device) {
    (void)device;
    return nullptr;
  }
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
