// read_ahead.h: loaders tell a data set what they will read, so that it can be fetched before it is
// needed.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace titan {

class Dataset;

/// A data set that can use such a hint (shards on servers): an interface of its own, because few
/// have it.
class ReadsAhead {
 public:
  virtual ~ReadsAhead() = default;
  /// Samples that are read next, in this order; replaces what was said before. Returns at once.
  /// Thread-safe.
  virtual void expect(const std::vector<int64_t>& indices) const = 0;
};

/// A loader's side of it: keeps the data set told of the next kSamples samples or more.
class ReadAheadPlan {
 public:
  /// Many seconds of reading for most jobs; computing their order takes some milliseconds.
  static constexpr int64_t kSamples = 16'384;

  /// Does nothing for a data set that is not ReadsAhead. It must outlive the plan.
  ReadAheadPlan(const Dataset& dataset, int64_t batch_size);

  /// Called before batch `next` (0, 1, ...) of the loader is read. `append` adds the sample indices
  /// of a batch in their order; false where there is no such batch.
  void before(int64_t next,
              const std::function<bool(int64_t batch, std::vector<int64_t>& indices)>& append);

 private:
  const ReadsAhead* data_;  ///< nullptr: nobody to tell
  int64_t batches_;         ///< told at a time
  int64_t tell_at_ = 0;     ///< batch before which the next telling is due
};

}  // namespace titan
