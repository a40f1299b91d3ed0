// shared_segment.h: memory that the ranks of a group share where all of them are on one host.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <torch/csrc/distributed/c10d/Store.hpp>

namespace titan::parallel {

/// A mapping of `bytes()` zeros at first, the same memory for every rank. It has no name: nothing
/// is left of it when the processes end, however they end, and /dev/shm (64 MiB in a container) is
/// not used.
class SharedSegment {
 public:
  /// Every rank of the group calls with the same size and a store of exactly this group. All ranks
  /// get it or none does: null where one is on another host, in another process name space or of
  /// another user, or has no memory left; `reason` then says which.
  static std::unique_ptr<SharedSegment> open(c10d::Store& store, int rank, int size,
                                             std::size_t bytes, std::string& reason);
  ~SharedSegment();
  SharedSegment(const SharedSegment&) = delete;
  SharedSegment& operator=(const SharedSegment&) = delete;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  SharedSegment(std::byte* data, std::size_t bytes) : data_(data), bytes_(bytes) {}
  std::byte* data_;
  std::size_t bytes_;
};

}  // namespace titan::parallel
