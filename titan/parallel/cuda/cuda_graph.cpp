#include "titan/parallel/cuda/cuda_graph.h"

#include <exception>
#include <map>

#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "titan/base/check.h"

namespace titan::parallel {
namespace {

/// Each step of a clean-up is tried, whatever becomes of the one before.
template <class Step>
void try_to(const Step& step) noexcept {
  try {
    step();
  } catch (const std::exception&) {  // the cause is on its way
  }
}

/// The one on which all of a device's graphs are recorded: cuBLAS keeps a workspace for each stream
/// that it has seen, for good, and would hold one in the memory of each graph that is gone.
c10::cuda::CUDAStream recording_stream(c10::DeviceIndex device) {
  static std::map<c10::DeviceIndex, c10::cuda::CUDAStream> streams;  // training's thread alone
  auto known = streams.find(device);
  if (known == streams.end()) {
    known = streams.emplace(device, c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device))
                .first;
  }
  return known->second;
}

/// LibTorch's, with an end for captures that failed: where CUDA has given up a capture (an
/// operation that cannot be recorded, a stream that was not joined), its capture_end() throws
/// before it has closed anything of its own, and its destructor closes nothing either.
class Capture : public at::cuda::CUDAGraph {
 public:
  void abandon() noexcept;

 private:
  void close() noexcept;
};

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
  c10::Device device_;
  std::unique_ptr<Capture> graph_;
};

void CudaGraph::capture(const std::function<void()>& work) {
  TITAN_CHECK(graph_ == nullptr, "[graph] a graph is recorded once");
  const c10::cuda::CUDAGuard guard(device_);
  // CUDA does not record the default stream. What ran before, on whatever stream, is done: the
  // recorded work needs no edge to it, and what the cache holds can go to the graph's own pool.
  c10::cuda::device_synchronize();
  c10::cuda::CUDACachingAllocator::emptyCache();
  const c10::cuda::CUDAStreamGuard on_side(recording_stream(device_.index()));
  graph_ = std::make_unique<Capture>();
  try {
    // Thread-local: NCCL's watchdog and other threads of ours may call CUDA meanwhile.
    // Backward runs on a thread of autograd's, whose launches go to the recorded stream all the
    // same.
    graph_->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    work();
    graph_->capture_end();
  } catch (...) {
    graph_->abandon();
    graph_.reset();
    throw;
  }
}

void Capture::abandon() noexcept {
  try_to([&] { capture_end(); });
  if (!capture_ended_ && capture_dev_ != UNDEFINED_DEVICE) close();
  reset();
  (void)cudaGetLastError();  // else the next check of LibTorch's would throw it
  // What nobody holds of the capture's memory goes back to the driver.
  try_to([] { c10::cuda::CUDACachingAllocator::emptyCache(); });
}

/// What capture_end() and reset() do of a capture that CUDA ends well. Open, the capture would
/// leave both allocators asking a graph that is gone whose memory they give out, its memory out of
/// use for good, and the generator taking every later draw for a recorded one.
void Capture::close() noexcept {
  try_to([&] { c10::cuda::CUDACachingAllocator::endAllocateToPool(capture_dev_, mempool_id_); });
  try_to([&] { at::getHostAllocator(at::kCUDA)->end_allocate_to_pool(mempool_id_); });
  try_to([&] { c10::cuda::CUDACachingAllocator::releasePool(capture_dev_, mempool_id_); });
  try_to([&] { at::getHostAllocator(at::kCUDA)->release_pool(mempool_id_); });
  for (auto& [state, increment] : captured_generator_states_) state->capturing_ = false;
}

}  // namespace

std::unique_ptr<DeviceGraph> make_cuda_graph(c10::Device device) {
  return std::make_unique<CudaGraph>(device);
}

}  // namespace titan::parallel
