// staging.h: a copy of what is to be saved, so that training goes on while it is written.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/rank_file.h"

namespace titan::checkpoint {

/// One buffer in host memory (pinned where the state lies on a GPU), kept from save to save: the
/// image of the rank's file.
class Staging {
 public:
  Staging() = default;
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Makes room and touches every page, so that the first save does not pay for it.
  void reserve(const RankFile& file);
  /// Copies header and tensors. From a GPU the copies are only queued on the current stream:
  /// training's next kernels come behind them, the host goes on at once.
  void copy(const RankFile& file);
  /// Waits until the copies are there; any thread.
  void wait() const;
  /// The whole image as one piece of memory; valid until the next copy().
  std::vector<FilePiece> pieces() const;

 private:
  void free();

  at::Tensor buffer_;  ///< [bytes] uint8, whole pages
  std::uint64_t used_ = 0;
  std::function<bool()> arrived_;  ///< empty: nothing to wait for
};

}  // namespace titan::checkpoint
