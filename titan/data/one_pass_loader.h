// one_pass_loader.h: every sample of a data set once, in stored order, dealt to ranks: for
// evaluation.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "titan/base/status.h"
#include "titan/base/thread_pool.h"
#include "titan/data/batch.h"
#include "titan/data/batch_builder.h"
#include "titan/data/data_order.h"
#include "titan/data/dataset.h"
#include "titan/data/read_ahead.h"

namespace titan {

struct OnePassOptions {
  int64_t batch_size = 16;
  int64_t num_samples = 0;  ///< the first n; 0 = all
  int rank = 0;
  int num_ranks = 1;
  std::uint64_t seed = 0;  ///< of the samples' own draws (crop)
  int64_t num_workers = 2;
  int64_t prefetch_batches = 2;
  bool pinned = false;  ///< batches in pinned memory, see BatchBuilder
};

/// Samples of a pass over the first `wanted` (0 = all).
int64_t samples_to_read(const Dataset& dataset, int64_t wanted);

/// A batch of the pass: samples first, first + 1, ...
struct PassBatch {
  Batch batch;
  int64_t first = 0;
  bool repeated = false;  ///< another rank's batch, read to keep step; its results do not count
};

/// Batch j holds samples j * batch_size ..., the last one what is left, whatever the number of
/// ranks; rank r takes batches r, r + num_ranks, .... All ranks make the same number of calls, so
/// collectives around a batch cannot hang: a rank that has none left in the last round gets batch 0
/// again.
class OnePassLoader {
 public:
  OnePassLoader(std::shared_ptr<const Dataset> dataset, const OnePassOptions& options);

  int64_t num_samples() const { return num_samples_; }
  /// Calls of next() on every rank.
  int64_t rounds() const { return rounds_; }

  /// The next batch (CPU). Error: a sample that cannot be read; evaluation replaces none.
  StatusOr<PassBatch> next();

 private:
  struct Pending {
    std::shared_ptr<BatchBuilder> builder;
    int64_t first;
    bool repeated;
  };
  void schedule_next();

  std::shared_ptr<const Dataset> dataset_;
  OnePassOptions options_;
  int64_t num_samples_;
  int64_t num_batches_;
  int64_t rounds_;
  DataOrder order_;
  ReadAheadPlan read_ahead_;
  std::deque<Pending> pending_;
  int64_t scheduled_ = 0;
  ThreadPool pool_;  // last: its threads use the members above
};

}  // namespace titan
