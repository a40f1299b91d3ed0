// graphed_step.h: a step that is launched kernel by kernel a few times, recorded once, and from
// then on enqueued as a whole (CUDA graphs: NVIDIA's programming guide, "CUDA Graphs"). Recorded
// are the device's work, its addresses and every scalar of the host: what differs from step to step
// must travel in tensors (optim::StepState, the batches). No CUDA in here: DeviceGraph has it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/data/batch.h"
#include "titan/parallel/communicator.h"
#include "titan/parallel/device_services.h"
#include "titan/parallel/engine.h"

namespace titan {

/// What a step leaves on the device.
struct StepOutput {
  at::Tensor loss;                 ///< [] float32
  at::Tensor grad_norm;            ///< [] float32
  at::Tensor skip;                 ///< [] float32, 1 where the update was left out
  std::vector<at::Tensor> losses;  ///< of each micro-batch, [B] float32
};

/// The next micro-batch, on the device.
using BatchSource = std::function<StatusOr<Batch>()>;
/// A step from its micro-batches to the new weights. An error is its source's.
using StepWork = std::function<StatusOr<StepOutput>(const BatchSource& next)>;

/// Why the steps of such a job are launched one by one; empty where they can be recorded.
std::string why_not_recorded(const JobConfig& config);

/// A graph for a job's steps or evaluations on `device`; null where why_not_recorded stands against
/// it, the device has none (the CPU), or the job's ranks have given up recording its steps.
std::unique_ptr<parallel::DeviceGraph> make_step_graph(const JobConfig& config, c10::Device device);
/// Says in one line why there is none, where the device could have one.
void log_step_graph(const JobConfig& config, c10::Device device);

/// `graph`, or null where another of `ranks` has none: all record, or none. All of them call; null:
/// this one is alone.
std::unique_ptr<parallel::DeviceGraph> graph_of_all(std::unique_ptr<parallel::DeviceGraph> graph,
                                                    parallel::Communicator* ranks);

/// How recording went on all ranks.
struct Recording {
  std::string failure;       ///< "rank 2: why"; empty where all have recorded
  bool work_broken = false;  ///< a rank's work was left in the middle
};
/// Records `work` in `graph` on all of `ranks` (graph_of_all), which learn whether one has failed.
Recording record_on_all(parallel::DeviceGraph& graph, const std::function<void()>& work,
                        parallel::Communicator* ranks);

struct GraphedStepOptions {
  at::Device device = at::kCPU;
  int64_t accumulation = 1;  ///< micro-batches of a step
  bool with_copies = false;  ///< FlatParameters::weights_changed
  /// All of the job, which record or give up together; null: this one is alone. Outlives the step.
  parallel::Communicator* ranks = nullptr;
  /// Gives back what launched work keeps of the weights between its uses (8-bit copies): beside the
  /// graph's own it would be there twice.
  std::function<void()> forget = [] {};
};

class GraphedStep {
 public:
  /// Steps before the recording: they load kernels, choose attention's, connect ranks, and fill the
  /// caches of tables.
  static constexpr int64_t kWarmUpSteps = 3;

  /// `graph` null: every step is launched one by one. `engine` outlives this object. All ranks make
  /// theirs at the same place.
  GraphedStep(parallel::ParallelEngine& engine, StepWork work,
              std::unique_ptr<parallel::DeviceGraph> graph, GraphedStepOptions options);
  ~GraphedStep();
  GraphedStep(const GraphedStep&) = delete;
  GraphedStep& operator=(const GraphedStep&) = delete;

  /// One step; its output is the caller's to keep. Tells the engine that weights have changed. A
  /// recording that fails on a rank is given up on all, and steps are launched from then on.
  StatusOr<StepOutput> run(const BatchSource& next);

  /// Whether the last step was a replay.
  bool replayed() const { return replayed_; }

 private:
  StatusOr<StepOutput> launch(const BatchSource& next);
  StatusOr<StepOutput> warm_up(const BatchSource& next);
  StatusOr<StepOutput> record(const BatchSource& next);
  StatusOr<StepOutput> replay(const BatchSource& next);
  Recording capture();
  StepOutput enqueue();
  void give_up(const std::string& reason);

  parallel::ParallelEngine& engine_;
  StepWork work_;
  std::unique_ptr<parallel::DeviceGraph> graph_;
  GraphedStepOptions options_;
  int64_t warm_up_left_ = kWarmUpSteps;
  bool recorded_ = false;
  bool replayed_ = false;
  bool said_other_form_ = false;
  std::vector<Batch> fixed_;     ///< the micro-batches that the graph reads
  at::Tensor report_;            ///< what the graph leaves: loss, norm, skip, losses, end to end
  std::vector<int64_t> losses_;  ///< lengths of the last
  std::int64_t weights_version_ = 0;  ///< of the weights that the last step left
};

}  // namespace titan
