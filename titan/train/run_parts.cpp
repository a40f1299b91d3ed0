#include "titan/train/run_parts.h"

#include <ATen/Context.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "titan/base/log.h"
#include "titan/optim/lr_schedule.h"
#include "titan/parallel/process_group.h"
#include "titan/plan/data_view.h"
#include "titan/train/metrics_setup.h"
#include "titan/train/model_setup.h"
#include "titan/train/restart_note.h"
#include "titan/train/run_folder.h"
#include "titan/train/run_setup.h"
#include "titan/train/signals.h"

namespace titan {

StatusOr<std::unique_ptr<RunParts>> RunParts::build(const TrainerContext& context) {
  const std::int64_t began_ms = titan::metrics::mllog_time_ms();
  std::unique_ptr<RunParts> parts(new RunParts(context));
  TITAN_RETURN_IF_ERROR(parts->put_together(began_ms));
  return parts;
}

Status RunParts::put_together(std::int64_t began_ms) {
  TITAN_ASSIGN_OR_RETURN(spec, complete_spec(context.config));
  TITAN_RETURN_IF_ERROR(check_converters(context.config, context.device));
  TITAN_ASSIGN_OR_RETURN(
      const parallel::ParallelDims dims,
      parallel::resolve_parallel_dims(context.config.parallelism, context.rank.world_size));
  mesh.emplace(dims, context.rank.rank);
  TITAN_ASSIGN_OR_RETURN(batches,
                         plan_batches(context.config.training.batch_size,
                                      context.config.training.global_batch_size, mesh->dp_size()));
  if (context.config.training.deterministic) {
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    // LibTorch would also fill every new tensor with NaN, one kernel each, to show what reads
    // memory that nothing has written; results do not need it.
    at::globalContext().setDeterministicFillUninitializedMemory(false);
  }
  TITAN_RETURN_IF_ERROR(build_data());
  TITAN_ASSIGN_OR_RETURN(resume, ResumePoint::open(context, *dataset, batches.global_batch));
  TITAN_RETURN_IF_ERROR(build_model());
  TITAN_RETURN_IF_ERROR(restore());
  target_met = target_met_before(context, steps_before);
  put_off = put_off_before(context, steps_before);
  if (finished()) return ok_status();
  TITAN_RETURN_IF_ERROR(resume->check_can_go_on());
  TITAN_RETURN_IF_ERROR(write_job_info(context, shape, *dataset, resume->seed()));
  TITAN_ASSIGN_OR_RETURN(
      evaluation, RunEvaluation::open(context, spec, shape, encoder.get(), batches.global_batch));
  TITAN_RETURN_IF_ERROR(open_mlperf_log(began_ms));
  TITAN_ASSIGN_OR_RETURN(
      loader,
      DataLoader::create(dataset, loader_options(context.config, *mesh, batches, samples_before,
                                                 resume->seed(), context.device)));
  open_watch();
  profiler = std::make_unique<RunProfiler>(context.config.profiling, context.device,
                                           context.rank.rank, context.run_folder.path());
  TITAN_RETURN_IF_ERROR(open_metrics());
  guard = std::make_unique<FiniteGuard>(
      context.config.training, context.ranks.control(),
      [source = dataset](int64_t index) { return source->describe(index); });
  pictures = std::make_unique<RunPictures>(context, spec, shape, dataset, evaluation->dataset(),
                                           encoder.get(), resume->seed());
  between.emplace(BetweenStepsParts{.config = context.config,
                                    .training = *training,
                                    .evaluation = *evaluation,
                                    .pictures = *pictures,
                                    .resume = *resume,
                                    .metrics = *metrics,
                                    .mlperf = *mlperf,
                                    .watch = *watch,
                                    .stop = *stop,
                                    .times = *times});
  return ok_status();
}

Status RunParts::build_data() {
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> opened, spec.dataset(context.config));
  dataset = std::move(opened);
  TITAN_ASSIGN_OR_RETURN(DataView view, view_of(*dataset, context.config, spec));
  shape = view.shape;
  TITAN_LOG(INFO) << "[data] " << context.config.training.dataset << ": " << dataset->size()
                  << " samples of " << to_string(shape)
                  << (view.encoded ? ", encoded while training" : "");
  TITAN_RETURN_IF_ERROR(check_enough_samples(
      dataset->size(), context.config.training.subset_size.value_or(0), batches));
  return check_job_fits(context, spec, *mesh, batches, std::move(view));
}

Status RunParts::build_model() {
  const parallel::OpenGroup open = [&](const std::string& name, const std::vector<int64_t>& ranks) {
    return context.ranks.open_group(name, ranks);
  };
  TITAN_ASSIGN_OR_RETURN(encoder,
                         RunEncoder::open(context.config, spec, *mesh, open, context.device));
  TITAN_ASSIGN_OR_RETURN(training, TrainStep::create({.config = context.config,
                                                      .spec = spec,
                                                      .shape = shape,
                                                      .mesh = *mesh,
                                                      .open = open,
                                                      .device = context.device,
                                                      .encoder = encoder.get(),
                                                      .batches = batches,
                                                      .seed = resume->seed(),
                                                      .control = &context.ranks.control()}));
  TITAN_LOG(INFO) << "[model] " << context.config.model.name << " " << context.config.model.flavor
                  << ": " << training->parameters().num_parameters() << " parameters; global batch "
                  << batches.global_batch << " = " << mesh->dp_size() << " ranks x "
                  << batches.micro_batch << " samples x " << batches.accumulation
                  << " micro-batches";
  for (const std::string& warning :
       optim::lr_schedule_warnings(context.config.lr_scheduler, context.config.training.steps))
    TITAN_LOG(WARNING) << "[lr] " << warning;
  return ok_status();
}

Status RunParts::restore() {
  TITAN_RETURN_IF_ERROR(resume->restore(training->parameters(), training->optimizer(),
                                        training->ema(), *spec.weight_formats));
  steps_before = resume->resumed_step().value_or(0);
  samples_before = resume->cursor();
  return ok_status();
}

/// Everything but the data is ready: MLPerf's clock starts before the loader reads its first
/// sample.
Status RunParts::open_mlperf_log(std::int64_t began_ms) {
  const int64_t subset = context.config.training.subset_size.value_or(0);
  TITAN_ASSIGN_OR_RETURN(
      mlperf,
      MlperfLog::open(
          context.config, context.rank.is_main(), context.run_folder.mlperf_path().string(),
          {.init_began_ms = began_ms,
           .train_samples = subset > 0 ? std::min(subset, dataset->size()) : dataset->size(),
           .eval_samples = evaluation->num_samples(),
           .seed = resume->seed(),
           .global_batch = batches.global_batch,
           .micro_batch = batches.micro_batch,
           .accumulation = batches.accumulation,
           .samples_between_evals = evaluation->steps_between() * batches.global_batch,
           .cursor = samples_before}));
  if (context.config.metrics.mlperf_logging) context.ranks.control().barrier();
  mlperf->run_start();
  return ok_status();
}

void RunParts::open_watch() {
  std::vector<std::string> units;
  for (const parallel::FlatUnit& unit : training->parameters().units()) units.push_back(unit.name);
  watch = std::make_unique<RunWatch>(context, std::move(units));
  // Weights, two moments and averages in four bytes each: more than most settings write.
  const double state_bytes = 16.0 * static_cast<double>(training->parameters().num_parameters());
  times.emplace(static_cast<double>(context.config.job.time_margin_seconds),
                state_bytes / context.rank.world_size, context.config.checkpoint.enable_checkpoint);
  stop.emplace(context.ranks.control(),
               Deadline::of_job(context.config.job, job_began_s(), Clocks::of_machine(),
                                [](const char* name) { return std::getenv(name); }),
               requested_signal);
}

Status RunParts::open_metrics() {
  TITAN_ASSIGN_OR_RETURN(const ModelFlops flops, spec.flops ? spec.flops(context.config, shape)
                                                            : StatusOr<ModelFlops>(ModelFlops{}));
  TITAN_ASSIGN_OR_RETURN(
      metrics, make_metrics(context, {.resumed_step = resume->resumed_step(),
                                      .samples_before = samples_before,
                                      .flops_per_sample = static_cast<double>(flops.train),
                                      .sample_shape = shape.image}));
  return ok_status();
}

}  // namespace titan
