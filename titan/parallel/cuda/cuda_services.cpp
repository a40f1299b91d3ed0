#include "titan/parallel/cuda/cuda_services.h"

#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/csrc/cuda/memory_snapshot.h>

#include <optional>
#include <string>

#include "titan/parallel/cuda/cuda_graph.h"

namespace titan::parallel {
namespace {

c10::DeviceIndex index(int device) { return static_cast<c10::DeviceIndex>(device); }

class CudaEvent : public DeviceEvent {
 public:
  void record() override { event_.record(); }
  bool passed() const override { return event_.query(); }
  double seconds_since(const DeviceEvent& earlier) override {
    event_.synchronize();  // host sync
    constexpr double kSecondsPerMillisecond = 1e-3;
    return kSecondsPerMillisecond *
           static_cast<double>(dynamic_cast<const CudaEvent&>(earlier).event_.elapsed_time(event_));
  }

 private:
  at::cuda::CUDAEvent event_{cudaEventDefault};  // LibTorch's own default cannot be timed
};

class CudaServices : public DeviceServices {
 public:
  int device_count() const override { return c10::cuda::device_count(); }
  std::string name(int device) const override {
    return at::cuda::getDeviceProperties(index(device))->name;
  }
  int compute_capability(int device) const override {
    const cudaDeviceProp* properties = at::cuda::getDeviceProperties(index(device));
    return 10 * properties->major + properties->minor;
  }
  int kernels_built_for() const override { return TITAN_CUDA_CAPABILITY; }
  int64_t free_memory(int device) const override {
    const c10::cuda::CUDAGuard guard(index(device));
    std::size_t free = 0, total = 0;
    // Asked where memory has run out, too: an error is an answer.
    return cudaMemGetInfo(&free, &total) == cudaSuccess ? static_cast<int64_t>(free) : -1;
  }
  std::string bus_id(int device) const override {
    char text[32] = "";
    return cudaDeviceGetPCIBusId(text, sizeof text, device) == cudaSuccess ? text : "";
  }
  void set_device(int device) override { c10::cuda::set_device(index(device)); }
  void synchronize(int device) override {
    const c10::cuda::CUDAGuard guard(index(device));
    c10::cuda::device_synchronize();
  }
  memory::MemoryStats memory_stats(int device) const override;
  void reset_memory_peak(int device) override {
    c10::cuda::CUDACachingAllocator::resetPeakStats(index(device));
  }
  std::unique_ptr<DeviceEvent> make_event() override { return std::make_unique<CudaEvent>(); }
  std::string pin(void* begin, std::size_t bytes) override {
    const cudaError_t error = cudaHostRegister(begin, bytes, cudaHostRegisterDefault);
    if (error == cudaSuccess) return "";
    (void)cudaGetLastError();  // it is answered here: LibTorch's next check must not meet it
    return cudaGetErrorString(error);
  }
  void unpin(void* begin) override {
    if (cudaHostUnregister(begin) != cudaSuccess) (void)cudaGetLastError();
  }
  std::unique_ptr<DeviceGraph> make_graph(int device) override {
    return device >= 0 ? make_cuda_graph(c10::Device(c10::kCUDA, index(device))) : nullptr;
  }
  void record_memory_history(bool enabled) override {
    constexpr std::size_t kMaxEntries = 100'000;  // some hundred steps; older ones are dropped
    torch::cuda::_record_memory_history(enabled ? std::optional<std::string>("all") : std::nullopt,
                                        "all", "all", kMaxEntries);
  }
  std::string memory_snapshot() const override { return torch::cuda::_memory_snapshot_pickled(); }
};

memory::MemoryStats CudaServices::memory_stats(int device) const {
  memory::MemoryStats stats;
  stats.capacity =
      static_cast<int64_t>(at::cuda::getDeviceProperties(index(device))->totalGlobalMem);
  // Before the first allocation the allocator has no entry for the device.
  if (!c10::cuda::CUDACachingAllocator::get()->initialized()) return stats;
  const auto all = c10::cuda::CUDACachingAllocator::getDeviceStats(index(device));
  constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  stats.active = all.active_bytes[kAll].current;
  stats.peak_active = all.active_bytes[kAll].peak;
  stats.reserved = all.reserved_bytes[kAll].current;
  stats.peak_reserved = all.reserved_bytes[kAll].peak;
  stats.num_alloc_retries = all.num_alloc_retries;
  stats.num_ooms = all.num_ooms;
  return stats;
}

}  // namespace

std::unique_ptr<DeviceServices> make_cuda_services() { return std::make_unique<CudaServices>(); }

}  // namespace titan::parallel
