#include "titan/parallel/cuda/cuda_graph.h"

#include <exception>

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "titan/base/check.h"

namespace titan::parallel {
namespace {

class CudaGraph : public DeviceGraph {
 public:
  explicit CudaGraph(c10::Device device) : device_(device) {}

  void capture(const std::function<void()>& work) override;
  void replay() override {
    TITAN_CHECK(graph_ != nullptr, "[graph] nothing was recorded");
    const c10::cuda::CUDAGuard guard(device_);
    graph_->replay();
  }

 private:
  void abandon() noexcept;

  c10::Device device_;
  std::unique_ptr<at::cuda::CUDAGraph> graph_;
};

void CudaGraph::capture(const std::function<void()>& work) {
  TITAN_CHECK(graph_ == nullptr, "[graph] a graph is recorded once");
  const c10::cuda::CUDAGuard guard(device_);
  // CUDA does not record the default stream. What ran before, on whatever stream, is done: the
  // recorded work needs no edge to it, and what the cache holds can go to the graph's own pool.
  c10::cuda::device_synchronize();
  c10::cuda::CUDACachingAllocator::emptyCache();
  const c10::cuda::CUDAStreamGuard on_side(
      c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device_.index()));
  graph_ = std::make_unique<at::cuda::CUDAGraph>();
  try {
    // Thread-local: NCCL's watchdog and the loader's pinned copies may call CUDA meanwhile.
    // Backward runs on a thread of autograd's, whose launches go to the recorded stream all the
    // same.
    graph_->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    work();
    graph_->capture_end();
  } catch (...) {
    abandon();
    throw;
  }
}

/// After an error within a capture: ends it and clears what CUDA keeps of the error.
void CudaGraph::abandon() noexcept {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const auto stream = c10::cuda::getCurrentCUDAStream(device_.index());
  if (cudaStreamIsCapturing(stream.stream(), &status) == cudaSuccess &&
      status != cudaStreamCaptureStatusNone) {
    try {
      graph_->capture_end();           // closes the allocator's pool too
    } catch (const std::exception&) {  // the cause is on its way
    }
  }
  graph_.reset();
  (void)cudaGetLastError();
}

}  // namespace

std::unique_ptr<DeviceGraph> make_cuda_graph(c10::Device device) {
  return std::make_unique<CudaGraph>(device);
}

}  // namespace titan::parallel
