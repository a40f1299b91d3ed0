// job_benches.h: parts of a job that are timed as its ranks run them.
#pragma once

#include "titan/base/status.h"
#include "titan/train/job_main.h"

namespace titan::tools {

/// Reads batches of the job's data set for some seconds, as training would on this rank.
StatusOr<JobOutcome> bench_loader(const JobContext& job);
/// All-reduce, all-gather and reduce-scatter over all ranks, 1 to 64 MiB.
StatusOr<JobOutcome> bench_collectives(const JobContext& job);

/// Serves whole training steps on one batch to scripts/bench_train.py: says "ready <FLOPs of a
/// step>", answers each line "step" of standard input with "<seconds> <loss>" and a line "memory"
/// with the most bytes that tensors had since the last such line. One rank.
StatusOr<JobOutcome> bench_step(const JobContext& job);

}  // namespace titan::tools
