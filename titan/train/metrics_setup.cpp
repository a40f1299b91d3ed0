#include "titan/train/metrics_setup.h"

#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "titan/base/log.h"
#include "titan/memory/cpu_allocator.h"
#include "titan/metrics/console.h"
#include "titan/metrics/device_peak.h"
#include "titan/metrics/jsonl.h"
#include "titan/metrics/tensorboard.h"
#include "titan/parallel/device_services.h"
#include "titan/parallel/process_group.h"
#include "titan/train/run_folder.h"
#include "titan/train/wandb_sidecar.h"

namespace titan {
namespace {

using Sinks = std::vector<std::unique_ptr<metrics::MetricsSink>>;

Status add_jsonl(const TrainerContext& context, const MetricsSetup& setup, Sinks& sinks) {
  const std::string path = context.run_folder.metrics_path().string();
  TITAN_RETURN_IF_ERROR(metrics::cut_jsonl_back_to_step(path, setup.resumed_step.value_or(0)));
  TITAN_ASSIGN_OR_RETURN(auto sink, metrics::JsonlSink::open(path));
  sinks.push_back(std::move(sink));
  return ok_status();
}

Status add_tensorboard(const TrainerContext& context, const MetricsSetup& setup, Sinks& sinks) {
  std::filesystem::path folder = context.run_folder.path() / context.config.metrics.save_tb_folder;
  if (!context.rank.is_main()) folder /= str_cat("rank_", context.rank.rank);
  TITAN_ASSIGN_OR_RETURN(
      auto sink, metrics::TensorboardSink::open(folder.string(), setup.resumed_step.value_or(0)));
  sinks.push_back(std::move(sink));
  return ok_status();
}

StatusOr<Sinks> make_sinks(const TrainerContext& context, const MetricsSetup& setup) {
  const MetricsSection& config = context.config.metrics;
  Sinks sinks;
  if (context.rank.is_main()) TITAN_RETURN_IF_ERROR(add_jsonl(context, setup, sinks));
  if (config.enable_wandb && context.rank.is_main())
    sinks.push_back(start_wandb_sidecar(context.run_folder, setup.resumed_step.has_value()));
  if (config.enable_tensorboard && (context.rank.is_main() || config.save_for_all_ranks))
    TITAN_RETURN_IF_ERROR(add_tensorboard(context, setup, sinks));
  if (config.log_to_console && context.rank.is_main()) {
    sinks.push_back(std::make_unique<metrics::ConsoleSink>(metrics::console_options_for(
        STDOUT_FILENO, config.disable_color_printing, context.config.training.steps)));
  }
  return sinks;
}

/// Averages and largest values over ranks, by way of the host: a handful of numbers at the logging
/// interval.
void reduce_over_ranks(parallel::Communicator& ranks, at::Tensor& means, at::Tensor& maxima) {
  const auto reduced = [&](const at::Tensor& values, parallel::Reduction reduction) {
    const at::Tensor host = values.to(at::kCPU, at::kDouble).contiguous();
    const double* first = host.const_data_ptr<double>();
    return at::tensor(ranks.all_reduce_values({first, first + host.numel()}, reduction),
                      at::kDouble);
  };
  means.copy_(reduced(means, parallel::Reduction::kSum) / static_cast<double>(ranks.size()));
  maxima.copy_(reduced(maxima, parallel::Reduction::kMax));
}

}  // namespace

StatusOr<std::unique_ptr<metrics::MetricsProcessor>> make_metrics(const TrainerContext& context,
                                                                  const MetricsSetup& setup) {
  TITAN_ASSIGN_OR_RETURN(Sinks sinks, make_sinks(context, setup));
  metrics::MetricsOptions options;
  options.log_freq = context.config.metrics.log_freq;
  options.total_steps = context.config.training.steps;
  options.samples_before = setup.samples_before;
  options.world_size = context.rank.world_size;
  options.flops_per_sample = setup.flops_per_sample;
  options.elements_per_sample = static_cast<double>(std::accumulate(
      setup.sample_shape.begin(), setup.sample_shape.end(), int64_t{1}, std::multiplies<>()));
  if (context.rank.world_size > 1) {
    options.reduce = [&ranks = context.ranks.control()](at::Tensor& means, at::Tensor& maxima) {
      reduce_over_ranks(ranks, means, maxima);
    };
  }
  if (context.device.is_cpu()) {
    options.memory_stats = memory::cpu_memory_stats;
    options.reset_memory_peak = memory::reset_cpu_memory_peak;
  } else {
    parallel::DeviceServices* device = parallel::device_services();
    const int index = context.device.index();
    options.synchronize = [device, index] { device->synchronize(index); };
    options.memory_stats = [device, index] { return device->memory_stats(index); };
    options.reset_memory_peak = [device, index] { device->reset_memory_peak(index); };
    // The table is of bfloat16 peaks: no MFU beside another dtype.
    if (context.config.training.mixed_precision_param == "bfloat16")
      options.peak_flops = metrics::peak_bf16_flops(device->name(index));
    const ModelSection& model = context.config.model;
    const bool float8 = std::count(model.converters.begin(), model.converters.end(), "float8") > 0;
    if (float8 && !context.config.float8.emulate)
      options.peak_fp8_flops = metrics::peak_fp8_flops(device->name(index));
  }
  auto processor =
      std::make_unique<metrics::MetricsProcessor>(std::move(options), std::move(sinks));
  if (setup.resumed_step)
    processor->event({.step = *setup.resumed_step,
                      .name = "resume",
                      .values = {{"world_size", int64_t{context.rank.world_size}}}});
  return processor;
}

}  // namespace titan
