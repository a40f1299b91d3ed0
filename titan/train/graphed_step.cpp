#include "titan/train/graphed_step.h"

#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include "titan/base/check.h"
#include "titan/base/log.h"
#include "titan/base/trace.h"
#include "titan/ops/device_kernels.h"
#include "titan/protocols/generator_watch.h"
#include "titan/protocols/rng_state.h"
#include "titan/train/fixed_batch.h"

namespace titan {
namespace {

constexpr int64_t kScalars = 3;  // loss, norm, skip

/// Batch after batch of `batches`, which outlive the source.
BatchSource source_of(const std::vector<Batch>& batches) {
  return [&batches, next = std::size_t{0}]() mutable -> StatusOr<Batch> { return batches[next++]; };
}

std::string first_line(const char* text) {
  const std::string whole = text;
  return whole.substr(0, whole.find('\n'));
}

}  // namespace

std::string why_not_recorded(const JobConfig& config) {
  if (!ops::device_kernels()) return "titan's kernels do not run on this GPU";
  if (!config.training.compile) return "training.compile=false";
  if (config.training.cuda_graphs == "off") return "training.cuda_graphs=off";
  if (config.training.enable_cpu_offload)
    return "training.enable_cpu_offload updates weights on the host";
  if (config.optimizer.implementation != "fused")
    return str_cat("optimizer.implementation=", config.optimizer.implementation,
                   " waits for the host in every step");
  if (config.profiling.enable_memory_snapshot)
    return "profiling.enable_memory_snapshot: a replay allocates nothing, there would be nothing "
           "to "
           "see";
  return "";
}

std::unique_ptr<parallel::DeviceGraph> make_step_graph(const JobConfig& config,
                                                       c10::Device device) {
  parallel::DeviceServices* const services = parallel::device_services();
  return services != nullptr && why_not_recorded(config).empty()
             ? services->make_graph(device.index())
             : nullptr;
}

void log_step_graph(const JobConfig& config, c10::Device device) {
  parallel::DeviceServices* const services = parallel::device_services();
  const std::string reason = why_not_recorded(config);
  if (!reason.empty() && services != nullptr && services->make_graph(device.index()) != nullptr)
    TITAN_LOG(INFO) << "[graph] off: " << reason;
}

GraphedStep::GraphedStep(parallel::ParallelEngine& engine, StepWork work,
                         std::unique_ptr<parallel::DeviceGraph> graph, GraphedStepOptions options)
    : engine_(engine),
      work_(std::move(work)),
      graph_(std::move(graph)),
      options_(std::move(options)) {}

StatusOr<StepOutput> GraphedStep::run(const BatchSource& next) {
  replayed_ = false;
  StatusOr<StepOutput> output = !graph_             ? launch(next)
                                : recorded_         ? replay(next)
                                : warm_up_left_ > 0 ? warm_up(next)
                                                    : record(next);
  if (!output.ok()) return output;
  engine_.parameters().weights_changed(options_.with_copies);
  weights_version_ = engine_.parameters().version();
  return output;
}

StatusOr<StepOutput> GraphedStep::launch(const BatchSource& next) { return work_(next); }

/// A generator's state is a scalar of the host to a recomputed block, and the draws of a recorded
/// step would be another sequence than those of a launched one.
StatusOr<StepOutput> GraphedStep::warm_up(const BatchSource& next) {
  --warm_up_left_;
  const RngState before(options_.device);
  TITAN_ASSIGN_OR_RETURN(StepOutput output, launch(next));
  if (!(RngState(options_.device) == before))
    give_up("the model draws from LibTorch's generators (dropout), not by sample");
  return output;
}

StatusOr<StepOutput> GraphedStep::record(const BatchSource& next) {
  fixed_.clear();
  for (int64_t i = 0; i < options_.accumulation; ++i) {
    TITAN_ASSIGN_OR_RETURN(const Batch batch, next());
    fixed_.push_back(fixed_copy(batch));
  }
  const auto start = std::chrono::steady_clock::now();
  try {
    const TraceSpan span("record graph");
    capture();
  } catch (const std::exception& error) {
    const std::string cause = first_line(error.what());
    TITAN_CHECK(options_.may_fall_back, "[graph] the step cannot be recorded (", cause,
                "); training.cuda_graphs=off launches it kernel by kernel");
    give_up("the step cannot be recorded: " + cause);
    // What the host took for done in the recording was not.
    engine_.parameters().weights_changed();
    return launch(source_of(fixed_));
  }
  recorded_ = true;
  TITAN_LOG(INFO) << "[graph] a step is one graph from now on, recorded in "
                  << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()
                  << " s (training.cuda_graphs=off launches its kernels one by one)";
  return enqueue();
}

void GraphedStep::capture() {
  // The recording begins as the step after a step does: what the model reads of the weights is
  // theirs, and everything that follows a change of them (gathering units, 8-bit copies) is due.
  engine_.fill_resident();
  engine_.parameters().weights_changed(options_.with_copies);
  // Now: what is freed within a recording is no memory that the graph could use.
  options_.forget();
  const GeneratorsUnwatched unwatched;
  graph_->capture([&] {
    StatusOr<StepOutput> output = work_(source_of(fixed_));
    TITAN_CHECK(output.ok(), message_of(output.status()));
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> parts = {output->loss.view({1}), output->grad_norm.view({1}),
                                     output->skip.view({1})};
    losses_.clear();
    for (const at::Tensor& losses : output->losses) {
      parts.push_back(losses);
      losses_.push_back(losses.numel());
    }
    for (const at::Tensor& part : parts)
      TITAN_CHECK(part.scalar_type() == at::kFloat && part.dim() == 1,
                  "[graph] what a step reports is float32");
    report_ = at::cat(parts);
  });
}

StatusOr<StepOutput> GraphedStep::replay(const BatchSource& next) {
  std::vector<Batch> batches;
  bool fits = true;
  for (std::size_t i = 0; i < fixed_.size(); ++i) {
    TITAN_ASSIGN_OR_RETURN(Batch batch, next());
    fits = fits && same_form(fixed_[i], batch);
    batches.push_back(std::move(batch));
    // One after the other, so that at most one is held twice.
    if (fits) {
      copy_into(fixed_[i], batches.back());
      batches.back() = fixed_[i];
    }
  }
  if (!fits) {
    if (!std::exchange(said_other_form_, true))
      TITAN_LOG(WARNING)
          << "[graph] a batch has other shapes than the recorded step; such steps are "
             "launched kernel by kernel";
    return launch(source_of(batches));
  }
  return enqueue();
}

StepOutput GraphedStep::enqueue() {
  const TraceSpan span("graph");
  // Others may have changed the weights since (averages took their place for a while).
  if (engine_.parameters().version() != weights_version_) engine_.fill_resident();
  // What the recording left is in the graph's memory; what came since is an evaluation's.
  options_.forget();
  graph_->replay();
  replayed_ = true;
  // The next replay writes there again, and the host looks later.
  const at::Tensor report = report_.clone();
  StepOutput output{.loss = report[0], .grad_norm = report[1], .skip = report[2], .losses = {}};
  int64_t start = kScalars;
  for (const int64_t length : losses_) {
    output.losses.push_back(report.narrow(0, start, length));
    start += length;
  }
  return output;
}

void GraphedStep::give_up(const std::string& reason) {
  TITAN_LOG(WARNING) << "[graph] off: " << reason;
  graph_.reset();
}

}  // namespace titan
