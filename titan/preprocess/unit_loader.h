// unit_loader.h: the first stage: reads and decodes the samples of units ahead of the encoders.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "titan/base/thread_pool.h"
#include "titan/data/batch.h"
#include "titan/data/dataset.h"
#include "titan/preprocess/job_folder.h"
#include "titan/preprocess/stage_times.h"

namespace titan::preprocess {

/// Samples [begin, end) of the data set, which belong to one unit. Empty: nothing to do in this
/// step, other ranks are still at work.
struct Step {
  int64_t unit = -1;
  int64_t begin = 0;
  int64_t end = 0;
  bool last_of_unit = false;
};

/// The steps of rank `rank`: in each round a rank takes one of the units to do, in order, in as
/// many steps as a full unit has batches, so that all ranks make the same number of steps.
std::vector<Step> steps_of_rank(const std::vector<int64_t>& units, int64_t samples,
                                int64_t samples_per_unit, int64_t batch_size, int rank,
                                int num_ranks);

/// What became of a step: the usable samples in stored order, and the others.
struct LoadedStep {
  Step step;
  Batch batch;  ///< of 0 samples where none is usable
  std::vector<SkippedSample> skipped;
};

struct UnitLoaderOptions {
  std::uint64_t seed = 0;  ///< of the samples' own draws (crop)
  int64_t num_workers = 2;
  int64_t prefetch_batches = 2;
};

class UnitLoader {
 public:
  UnitLoader(std::shared_ptr<const Dataset> dataset, std::vector<Step> steps,
             const UnitLoaderOptions& options, StageTimes& times);

  /// The next step, in order; nothing once all are done. Error: a read error that stays.
  StatusOr<std::optional<LoadedStep>> next();

 private:
  struct Pending;
  void schedule_next();

  std::shared_ptr<const Dataset> dataset_;
  std::vector<Step> steps_;
  UnitLoaderOptions options_;
  StageTimes& times_;
  std::size_t scheduled_ = 0;
  std::deque<std::shared_ptr<Pending>> pending_;
  ThreadPool pool_;  // last: its threads use the members above
};

}  // namespace titan::preprocess
