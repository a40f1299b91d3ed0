#include "titan/parallel/shared_memory_backend.h"

#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "titan/base/check.h"
#include "titan/base/log.h"
#include "titan/parallel/call_queue.h"
#include "titan/parallel/host_reduce.h"
#include "titan/parallel/shared_collectives.h"

namespace titan::parallel {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMostRanks = 64;
constexpr std::size_t kSlotBytes = std::size_t{1} << 19;  // what all ranks move fits their caches

Reduction reduction_of(const c10d::ReduceOp& op) {
  if (op == c10d::ReduceOp::SUM) return Reduction::kSum;
  if (op == c10d::ReduceOp::MAX) return Reduction::kMax;
  TITAN_CHECK(op == c10d::ReduceOp::MIN, "[parallel] sum, max and min are what ranks reduce by");
  return Reduction::kMin;
}

std::byte* bytes_of(const at::Tensor& tensor) {
  return static_cast<std::byte*>(tensor.mutable_data_ptr());
}

const std::byte* input_bytes(const at::Tensor& tensor) {
  return static_cast<const std::byte*>(tensor.const_data_ptr());
}

void check_type(const at::Tensor& tensor) {
  TITAN_CHECK(can_reduce(tensor.scalar_type()), "[parallel] no reduction of ",
              c10::toString(tensor.scalar_type()));
}

class SharedMemoryBackend : public c10d::Backend {
 public:
  using Call = std::shared_ptr<CallQueue::Call>;

  /// Keeps its backend alive.
  class Work : public c10d::Work {
   public:
    Work(c10::intrusive_ptr<SharedMemoryBackend> backend, Call call)
        : backend_(std::move(backend)), call_(std::move(call)) {}
    bool wait(std::chrono::milliseconds /*timeout*/) override {
      backend_->calls_.wait(*call_);
      return true;
    }
    bool isCompleted() override { return backend_->calls_.done(*call_); }

   private:
    c10::intrusive_ptr<SharedMemoryBackend> backend_;
    Call call_;
  };

  SharedMemoryBackend(std::unique_ptr<SharedSegment> segment, const BackendRequest& request)
      : c10d::Backend(request.rank, request.size),
        timeout_(request.timeout),
        steps_(std::move(segment), request.rank, request.size, kSlotBytes) {}
  ~SharedMemoryBackend() override { steps_.interrupt(); }

  const std::string getBackendName() const override { return "shared memory"; }
  void setTimeout(std::chrono::milliseconds timeout) override { timeout_ = timeout; }
  void shutdown() override { steps_.interrupt(); }

  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor>& tensors,
                                           const c10d::AllreduceOptions& options) override {
    check_type(tensors[0]);
    return add([this, tensor = tensors[0], reduction = reduction_of(options.reduceOp)] {
      all_reduce(steps_, reduction, tensor.scalar_type(), bytes_of(tensor), tensor.numel(),
                 deadline());
    });
  }
  c10::intrusive_ptr<c10d::Work> _allgather_base(
      at::Tensor& output, at::Tensor& input, const c10d::AllgatherOptions& /*options*/) override {
    return add([this, output, input] {
      all_gather(steps_, bytes_of(output), input_bytes(input),
                 static_cast<std::int64_t>(input.nbytes()), deadline());
    });
  }
  c10::intrusive_ptr<c10d::Work> _reduce_scatter_base(
      at::Tensor& output, at::Tensor& input,
      const c10d::ReduceScatterOptions& /*options*/) override {
    check_type(output);
    return add([this, output, input] {
      parallel::reduce_scatter(steps_, output.scalar_type(), bytes_of(output), input_bytes(input),
                               output.numel(), deadline());
    });
  }
  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor>& tensors,
                                           const c10d::BroadcastOptions& options) override {
    return add([this, tensor = tensors[0], root = static_cast<int>(options.rootRank)] {
      parallel::broadcast(steps_, root, bytes_of(tensor),
                          static_cast<std::int64_t>(tensor.nbytes()), deadline());
    });
  }

 private:
  Clock::time_point deadline() const { return Clock::now() + timeout_.load(); }
  c10::intrusive_ptr<c10d::Work> add(std::function<void()> work) {
    return c10::make_intrusive<Work>(c10::intrusive_ptr<SharedMemoryBackend>::reclaim_copy(this),
                                     calls_.add(std::move(work)));
  }

  std::atomic<std::chrono::milliseconds> timeout_;
  SharedSteps steps_;
  CallQueue calls_;  // the last: its thread uses steps_
};

}  // namespace

c10::intrusive_ptr<c10d::Backend> make_shared_memory_backend(const BackendRequest& request) {
  if (request.size > kMostRanks) return {};
  std::string reason;
  std::unique_ptr<SharedSegment> segment =
      SharedSegment::open(*request.store, request.rank, request.size,
                          SharedSteps::segment_bytes(request.size, kSlotBytes), reason);
  if (segment) return c10::make_intrusive<SharedMemoryBackend>(std::move(segment), request);
  TITAN_VLOG(1) << "[parallel] group " << request.name << " shares no memory: " << reason;
  return {};
}

}  // namespace titan::parallel
