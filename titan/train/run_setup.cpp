#include "titan/train/run_setup.h"

#include <torch/version.h>

#include <utility>

#include "titan/parallel/cuda_library.h"
#include "titan/parallel/device_services.h"
#include "titan/plan/fit.h"
#include "titan/train/restart_note.h"
#include "titan/train/run_info.h"

namespace titan {

Status check_job_fits(const TrainerContext& context, const ModelSpec& spec,
                      const parallel::DeviceMesh& mesh, const BatchPlan& batches, DataView data) {
  const parallel::DeviceServices* services = parallel::device_services();
  const int64_t capacity =
      services != nullptr && context.device.is_cuda()
          ? services->memory_stats(context.device.index()).capacity -
                parallel::device_memory(context.device.index()).held_by_others()
          : 0;
  return plan::check_fits(spec, std::move(data),
                          {.name = "configured",
                           .config = context.config,
                           .dims = mesh.dims(),
                           .micro_batch = batches.micro_batch,
                           .accumulation = batches.accumulation,
                           .device = context.device.type()},
                          plan::memory_limit(context.config, context.device.type(), capacity,
                                             context.rank.local_world_size));
}

Status write_job_info(const TrainerContext& context, const DataShape& shape, const Dataset& dataset,
                      std::uint64_t seed) {
  if (!context.rank.is_main()) return ok_status();
  const parallel::DeviceServices* services = parallel::device_services();
  RankEnv rank = context.rank;
  if (has_own_launcher()) rank.source = "titan";
  return write_run_info(context.run_folder,
                        {.arguments = context.arguments,
                         .description = context.config.job.description,
                         .device = services != nullptr && context.device.is_cuda()
                                       ? services->name(context.device.index())
                                       : context.device.str(),
                         .libtorch_version = TORCH_VERSION,
                         .rank = rank,
                         .seed = seed,
                         .sample_shape = shape.image,
                         .sample_fields = shape.fields,
                         .num_classes = shape.num_classes,
                         .class_names = dataset.class_names(),
                         .restarts = restart_note().number});
}

DataLoaderOptions loader_options(const JobConfig& config, const parallel::DeviceMesh& mesh,
                                 const BatchPlan& batches, int64_t cursor, std::uint64_t seed,
                                 at::Device device) {
  return {.micro_batch = batches.micro_batch,
          .global_batch = batches.global_batch,
          .dp_rank = static_cast<int>(mesh.dp_rank()),
          .dp_size = static_cast<int>(mesh.dp_size()),
          .start_cursor = cursor,
          .seed = seed,
          .shuffle = config.training.shuffle,
          .num_workers = config.dataset.num_workers,
          .prefetch_batches = config.dataset.prefetch_batches,
          .max_broken_share = config.dataset.max_broken_share,
          .subset_size = config.training.subset_size.value_or(0),
          .pinned = device.is_cuda()};
}

}  // namespace titan
