// run_setup.h: steps of a training run's set-up that look at nothing but what they are given.
#pragma once

#include <cstdint>

#include "titan/data/dataloader.h"
#include "titan/parallel/device_mesh.h"
#include "titan/plan/data_view.h"
#include "titan/train/batch_plan.h"
#include "titan/train/trainer.h"

namespace titan {

/// Refuses a job whose plan exceeds the memory that one rank may use (kInvalidArgument, with what
/// would fit).
Status check_job_fits(const TrainerContext& context, const ModelSpec& spec,
                      const parallel::DeviceMesh& mesh, const BatchPlan& batches, DataView data);

/// Rank 0 writes run.json.
Status write_job_info(const TrainerContext& context, const DataShape& shape, const Dataset& dataset,
                      std::uint64_t seed);

/// This rank's part of the global batches from `cursor` on, for steps on `device`.
DataLoaderOptions loader_options(const JobConfig& config, const parallel::DeviceMesh& mesh,
                                 const BatchPlan& batches, int64_t cursor, std::uint64_t seed,
                                 at::Device device);

}  // namespace titan
