#include "titan/train/graphed_step.h"

#include <atomic>
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

/// Whether the job's ranks have given up recording its steps. Its evaluations are then launched,
/// too: what failed in the step would fail there, where a rank that is stopped half-way cannot
/// always go on.
std::atomic<bool> given_up{false};

/// Batch after batch of `batches`, which outlive the source.
BatchSource source_of(const std::vector<Batch>& batches) {
  return [&batches, next = std::size_t{0}]() mutable -> StatusOr<Batch> { return batches[next++]; };
}

/// One line, never empty.
std::string cause_of(const std::exception& error) {
  const std::string whole = error.what();
  const std::string line = whole.substr(0, whole.find('\n'));
  return line.empty() ? "an error without a text" : line;
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
  return services != nullptr && !given_up && why_not_recorded(config).empty()
             ? services->make_graph(device.index())
             : nullptr;
}

void log_step_graph(const JobConfig& config, c10::Device device) {
  parallel::DeviceServices* const services = parallel::device_services();
  const std::string reason = why_not_recorded(config);
  if (!reason.empty() && services != nullptr && services->make_graph(device.index()) != nullptr)
    TITAN_LOG(INFO) << "[graph] off: " << reason;
}

std::unique_ptr<parallel::DeviceGraph> graph_of_all(std::unique_ptr<parallel::DeviceGraph> graph,
                                                    parallel::Communicator* ranks) {
  if (ranks != nullptr &&
      ranks->all_reduce_values({graph ? 1.0 : 0.0}, parallel::Reduction::kMin)[0] == 0)
    graph.reset();
  return graph;
}

Recording record_on_all(parallel::DeviceGraph& graph, const std::function<void()>& work,
                        parallel::Communicator* ranks) {
  Recording result;
  try {
    graph.capture([&] {
      result.work_broken = true;
      work();
      result.work_broken = false;
    });
  } catch (const std::exception& error) {
    result.failure = cause_of(error);
  }
  if (ranks == nullptr || ranks->size() == 1) return result;
  // No rank waits within a recording for one that has failed: the collectives in it are written
  // down and do not run, and what connects ranks was done in the steps before. But for NCCL's
  // registration of memory for NVLink SHARP, where a node's ranks meet on the host
  // (NCCL_GRAPH_REGISTER=0 leaves it out): there the wait here ends with the group's time limit.
  const std::vector<std::string> failures = ranks->all_gather_text(result.failure);
  result.work_broken =
      ranks->all_reduce_values({result.work_broken ? 1.0 : 0.0}, parallel::Reduction::kMax)[0] > 0;
  for (std::size_t rank = failures.size(); rank-- > 0;)
    if (!failures[rank].empty()) result.failure = str_cat("rank ", rank, ": ", failures[rank]);
  return result;
}

GraphedStep::GraphedStep(parallel::ParallelEngine& engine, StepWork work,
                         std::unique_ptr<parallel::DeviceGraph> graph, GraphedStepOptions options)
    : engine_(engine),
      work_(std::move(work)),
      graph_(graph_of_all(std::move(graph), options.ranks)),
      options_(std::move(options)) {}

GraphedStep::~GraphedStep() { given_up = false; }

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
  if (const Recording recording = capture(); !recording.failure.empty()) {
    give_up("the step cannot be recorded: " + recording.failure);
    given_up = options_.ranks != nullptr && options_.ranks->size() > 1;
    // What the host took for done in the recording was not. Of several ranks, one that was stopped
    // within its work may have reductions under way that never were: the engine then refuses to
    // begin a step, and the job ends.
    engine_.parameters().weights_changed();
    return launch(source_of(fixed_));
  }
  recorded_ = true;
  TITAN_LOG(INFO) << "[graph] a step is one graph from now on, recorded in "
                  << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()
                  << " s (training.cuda_graphs=off launches its kernels one by one)";
  return enqueue();
}

Recording GraphedStep::capture() {
  const TraceSpan span("record graph");
  // The recording begins as the step after a step does: what the model reads of the weights is
  // theirs, and everything that follows a change of them (gathering units, 8-bit copies) is due.
  engine_.fill_resident();
  engine_.parameters().weights_changed(options_.with_copies);
  // Now: what is freed within a recording is no memory that the graph could use.
  options_.forget();
  const GeneratorsUnwatched unwatched;
  const auto work = [&] {
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
  };
  return record_on_all(*graph_, work, options_.ranks);
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
  report_ = at::Tensor();
  graph_.reset();
}

}  // namespace titan
