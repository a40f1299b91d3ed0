// keep_policy.h: which results of a recomputed block are kept. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace titan::ops {

/// Names of operations whose results can be kept.
inline constexpr const char* kAttentionTag = "attention";
inline constexpr const char* kMatmulTag = "matmul";  ///< of linear layers

/// What a block that is computed again in backward keeps of its first pass, besides its input.
struct KeepPolicy {
  std::vector<std::string> tags;  ///< operations whose every result is kept
  /// Of the block's linear layers, in the order in which they run, numbers 1, n + 1, 2n + 1, ...
  /// keep their results; 0 = none.
  int64_t matmul_every = 0;
  /// Results that the block hands on as they are: they lie in memory as the next block's input, so
  /// keeping them costs nothing.
  bool outputs = true;

  /// Equal in all.
  bool operator==(const KeepPolicy&) const = default;
};

}  // namespace titan::ops
