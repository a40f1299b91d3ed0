// communicator.h: the collectives titan uses, over one group of ranks. All ranks of a group issue
// the same calls in the same order, from one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include "titan/base/trace.h"

namespace titan::parallel {

/// There is no mean: a sum with an explicit scale is right on every backend (Gloo's AVG has been
/// silently wrong).
enum class Reduction : std::uint8_t { kSum, kMax, kMin };

/// A collective under way. The tensor must not be touched before wait().
class PendingCollective {
 public:
  PendingCollective() = default;
  /// `name` (a literal) and `bytes` are for the trace.
  PendingCollective(c10::intrusive_ptr<c10d::Work> work, std::string what, const char* name,
                    std::int64_t bytes);
  /// CPU: blocks until the result is there. CUDA: the current stream waits, the host does not.
  /// Throws titan::Error where a peer is gone or the time is up. Further calls do nothing.
  void wait();

 private:
  c10::intrusive_ptr<c10d::Work> work_;
  std::string what_;
  TraceEvent event_;
};

/// One group of ranks. A default-constructed one is a group of one: every operation returns at once
/// and changes nothing.
class Communicator {
 public:
  Communicator() = default;
  /// `device`: where tensors of this group lie (the small messages below travel there).
  Communicator(c10::intrusive_ptr<c10d::Backend> backend, at::Device device);

  int rank() const { return backend_ ? backend_->getRank() : 0; }
  int size() const { return backend_ ? backend_->getSize() : 1; }
  at::Device device() const { return device_; }

  /// Longest wait of later calls for the other ranks.
  void set_timeout(std::chrono::milliseconds timeout);

  /// Reduces a contiguous tensor over the ranks, in place, in the background.
  [[nodiscard]] PendingCollective all_reduce_async_(const at::Tensor& tensor,
                                                    Reduction reduction = Reduction::kSum);
  void all_reduce_(const at::Tensor& tensor, Reduction reduction = Reduction::kSum);
  /// Every rank's contiguous `input`, end to end in order of rank: output [size() * input.numel()].
  /// `input` may be this rank's part of `output`.
  [[nodiscard]] PendingCollective all_gather_async_(const at::Tensor& output,
                                                    const at::Tensor& input);
  /// This rank's part of the sum over ranks of `input` [size() * output.numel()]. `output` may be
  /// that part of `input`.
  [[nodiscard]] PendingCollective reduce_scatter_async_(const at::Tensor& output,
                                                        const at::Tensor& input);
  /// Copies the root's contiguous tensor to every rank, in place.
  void broadcast_(const at::Tensor& tensor, int root = 0);
  /// Returns when every rank has come here. // host sync
  void barrier();

  /// Element-wise reduction of a few host numbers (metrics, flags); every rank gives the same
  /// count. // host sync
  std::vector<double> all_reduce_values(const std::vector<double>& values, Reduction reduction);
  /// Every rank's text, in rank order; lengths may differ. // host sync
  std::vector<std::string> all_gather_text(const std::string& text);
  /// The root's text. // host sync
  std::string broadcast_text(const std::string& text, int root = 0);

  /// Drops the backend (ordered teardown); the group is then a group of one.
  void close();
  /// Leaves the backend to the end of the process: its destructor would wait for peers that are
  /// gone.
  void abandon() noexcept;

 private:
  c10::intrusive_ptr<c10d::Backend> backend_;
  at::Device device_ = at::kCPU;
};

}  // namespace titan::parallel
