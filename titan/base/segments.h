// segments.h: items that lie in a row of segments (rows in files, samples in shards), found by
// index.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "titan/base/check.h"

namespace titan {

class Segments {
 public:
  struct Place {
    std::size_t segment;
    int64_t index;  ///< within the segment
  };

  /// Appends a segment of `count` >= 0 items. False, and nothing done, where the total would not
  /// fit into 64 bits.
  [[nodiscard]] bool add(int64_t count) {
    int64_t end = 0;
    if (__builtin_add_overflow(total(), count, &end)) return false;
    ends_.push_back(end);
    return true;
  }

  /// Items in all segments.
  int64_t total() const { return ends_.empty() ? 0 : ends_.back(); }
  /// Number of segments.
  std::size_t size() const { return ends_.size(); }

  /// Items in one segment.
  int64_t count(std::size_t segment) const {
    return ends_[segment] - (segment == 0 ? 0 : ends_[segment - 1]);
  }

  /// Binary search. `index` in [0, total()), anything else throws.
  Place find(int64_t index) const {
    TITAN_CHECK(index >= 0 && index < total(), "[data] index out of range (", index, " of ",
                total(), ")");
    const auto segment = static_cast<std::size_t>(
        std::upper_bound(ends_.begin(), ends_.end(), index) - ends_.begin());
    return {segment, index - (segment == 0 ? 0 : ends_[segment - 1])};
  }

  /// The segments of these items, in their order; neighbours in one segment count once.
  std::vector<std::size_t> segments_of(const std::vector<int64_t>& indices) const {
    std::vector<std::size_t> segments;
    for (const int64_t index : indices)
      if (const std::size_t segment = find(index).segment;
          segments.empty() || segments.back() != segment)
        segments.push_back(segment);
    return segments;
  }

 private:
  std::vector<int64_t> ends_;  ///< items up to and with each segment
};

}  // namespace titan
