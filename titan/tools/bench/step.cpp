#include <ATen/core/grad_mode.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <string>

#include "titan/data/dataloader.h"
#include "titan/memory/cpu_allocator.h"
#include "titan/parallel/device_services.h"
#include "titan/parallel/process_group.h"
#include "titan/plan/data_view.h"
#include "titan/tools/bench/job_benches.h"
#include "titan/train/batch_device.h"
#include "titan/train/model_setup.h"
#include "titan/train/train_step.h"

namespace titan::tools {
namespace {

int64_t peak_bytes(c10::Device device) {
  parallel::DeviceServices* services = parallel::device_services();
  if (device.is_cuda() && services != nullptr) {
    const int64_t peak = services->memory_stats(device.index()).peak_active;
    services->reset_memory_peak(device.index());
    return peak;
  }
  const int64_t peak = memory::cpu_memory_stats().value_or(memory::MemoryStats{}).peak_active;
  memory::reset_cpu_memory_peak();
  return peak;
}

/// The first batch of the job's data: every step trains on it, so that no loader is timed.
StatusOr<Batch> first_batch(const std::shared_ptr<const Dataset>& dataset,
                            const BatchPlan& batches) {
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<DataLoader> loader,
                         DataLoader::create(dataset, {.micro_batch = batches.micro_batch,
                                                      .global_batch = batches.global_batch,
                                                      .shuffle = false}));
  return loader->next();
}

}  // namespace

StatusOr<JobOutcome> bench_step(const JobContext& job) {
  const JobConfig& config = job.config;
  if (job.rank.world_size != 1) return invalid_argument("[bench] step runs on one rank");
  TITAN_ASSIGN_OR_RETURN(const ModelSpec spec, complete_spec(config));
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> opened, spec.dataset(config));
  const std::shared_ptr<const Dataset> dataset = std::move(opened);
  TITAN_ASSIGN_OR_RETURN(const DataView view, view_of(*dataset, config, spec));
  TITAN_ASSIGN_OR_RETURN(
      const BatchPlan batches,
      plan_batches(config.training.batch_size, config.training.global_batch_size, /*ranks=*/1));
  TITAN_ASSIGN_OR_RETURN(const ModelFlops flops, spec.flops ? spec.flops(config, view.shape)
                                                            : StatusOr<ModelFlops>(ModelFlops{}));
  const parallel::DeviceMesh alone({}, 0);
  const parallel::OpenGroup open = [&](const std::string& name, const std::vector<int64_t>& ranks) {
    return job.ranks.open_group(name, ranks);
  };
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<RunEncoder> encoder,
                         RunEncoder::open(config, spec, alone, open, job.device));
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<TrainStep> training,
                         TrainStep::create({.config = config,
                                            .spec = spec,
                                            .shape = view.shape,
                                            .mesh = alone,
                                            .open = open,
                                            .device = job.device,
                                            .encoder = encoder.get(),
                                            .batches = batches,
                                            .seed = 0}));
  TITAN_ASSIGN_OR_RETURN(Batch batch, first_batch(dataset, batches));
  move_to(batch, job.device);  // the step alone is measured, as for the peers
  training->model().train();
  std::cout << "ready " << flops.train * batches.global_batch << std::endl;
  int64_t number = 0;
  for (std::string line; std::getline(std::cin, line) && (line == "step" || line == "memory");) {
    if (line == "memory") {
      std::cout << peak_bytes(job.device) << std::endl;
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    TITAN_ASSIGN_OR_RETURN(const StepResult result,
                           training->run(
                               ++number, config.optimizer.lr, [&] { return batch; },
                               /*guard=*/nullptr));
    const double loss = result.loss.item<double>();  // host sync: the step is over
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::cout << seconds.count() << " " << loss << std::endl;
  }
  return JobOutcome::kDone;
}

}  // namespace titan::tools
