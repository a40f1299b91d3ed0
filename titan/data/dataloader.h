// dataloader.h: batches in order, read and decoded ahead of the step by worker threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "titan/base/status.h"
#include "titan/data/batch.h"
#include "titan/data/dataset.h"

namespace titan {

struct DataLoaderOptions {
  int64_t micro_batch = 1;   ///< samples per call of next() on this rank
  int64_t global_batch = 1;  ///< samples per optimizer step over all ranks
  int dp_rank = 0;
  int dp_size = 1;
  int64_t start_cursor = 0;  ///< global sample cursor to start from (a multiple of global_batch)
  std::uint64_t seed = 0;
  bool shuffle = true;
  int64_t num_workers = 2;
  int64_t prefetch_batches = 4;
  double max_broken_share = 0.01;
  int64_t subset_size = 0;  ///< 0 = all samples
  bool pinned = false;      ///< batches in pinned memory, see BatchBuilder
};

struct DataLoaderStats {
  double wait_s = 0;  ///< time next() has waited for data, since the loader was made
  int64_t samples_read = 0;
  int64_t broken = 0;  ///< samples skipped
};

/// Micro-batch i of step s on rank r holds global slots s * global_batch + r * (global_batch /
/// dp_size) + i * micro_batch ...: ranks take their slices of the same global batch, so the numbers
/// are the same on any layout. Slot g is position g mod N of epoch g / N; a broken sample is
/// replaced from a probe sequence keyed by (seed, epoch, index, attempt).
class DataLoader {
 public:
  /// An error if the data set is smaller than the global batch, or sizes do not divide.
  static StatusOr<std::unique_ptr<DataLoader>> create(std::shared_ptr<const Dataset> dataset,
                                                      const DataLoaderOptions& options);
  virtual ~DataLoader() = default;

  /// The next micro-batch (CPU tensors; a CUDA trainer copies). Error: too many broken samples, or
  /// a read error that stays.
  virtual StatusOr<Batch> next() = 0;

  virtual DataLoaderStats stats() const = 0;
};

}  // namespace titan
