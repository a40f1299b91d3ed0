// rank_group.h: the ranks that save and load together, seen from one of them. No torch.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::checkpoint {

/// Every rank makes the same calls in the same order, on one thread (training's).
struct RankGroup {
  int64_t rank = 0;
  /// Hands each rank the texts of all, in order of rank. Empty: this process is alone.
  std::function<StatusOr<std::vector<std::string>>(const std::string& text)> exchange = {};

  bool is_first() const { return rank == 0; }
  /// Every rank's text, in order.
  StatusOr<std::vector<std::string>> gather(const std::string& text) const;
  /// Ok where all ranks are; else, on every rank, the error of the first that failed: its code,
  /// "rank 3: " (where there are several) and its message.
  Status agree(const Status& mine) const;
};

/// A status as text, and back: "" is ok.
std::string status_text(const Status& status);
Status status_of_text(const std::string& text);

}  // namespace titan::checkpoint
