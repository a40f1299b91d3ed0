#include "titan/config/validate.h"

#include <cmath>

#include "titan/config/selective_option.h"
#include "titan/config/time_limit.h"

namespace titan {
namespace config {
namespace {

class Rules {
 public:
  template <class... Parts>
  void require(bool holds, const char* key, const Parts&... parts) {
    if (!holds) problems_.push_back({"", key, str_cat(parts...)});
  }
  std::vector<Problem> take() { return std::move(problems_); }

 private:
  std::vector<Problem> problems_;
};

void check_degrees(const ParallelismSection& c, Rules& rules) {
  const char* reserved = " is reserved, not built yet; must be 1";
  rules.require(c.tensor_parallel_degree == 1, "parallelism.tensor_parallel_degree",
                c.tensor_parallel_degree, reserved);
  rules.require(c.context_parallel_degree == 1, "parallelism.context_parallel_degree",
                c.context_parallel_degree, reserved);
  rules.require(c.pipeline_parallel_degree == 1, "parallelism.pipeline_parallel_degree",
                c.pipeline_parallel_degree, reserved);
  rules.require(c.data_parallel_replicate_degree != 0, "parallelism.data_parallel_replicate_degree",
                "must be at least 1, or -1 for the rest (given 0)");
  rules.require(c.data_parallel_shard_degree != 0, "parallelism.data_parallel_shard_degree",
                "must be at least 1, or -1 for the rest (given 0)");
  rules.require(c.data_parallel_replicate_degree != -1 || c.data_parallel_shard_degree != -1,
                "parallelism.data_parallel_replicate_degree",
                "only one of replicate and shard degree can be -1 (the rest)");
}

void check_data(const JobConfig& c, Rules& rules) {
  const std::size_t sides = c.dataset.image_size.size();
  rules.require(sides == 0 || sides == 2, "dataset.image_size",
                "must be empty or [height, width] (given ", sides, " numbers)");
  rules.require(!c.training.dataset.empty(), "training.dataset", "must not be empty");
  rules.require(!c.model.name.empty(), "model.name", "must not be empty");
  rules.require(!c.model.flavor.empty(), "model.flavor", "must not be empty");
}

void check_recompute(const ActivationCheckpointSection& c, Rules& rules) {
  const Status option = parse_selective_option(c.selective_ac_option).status();
  rules.require(option.ok(), "activation_checkpoint.selective_ac_option", message_of(option));
}

void check_optimizer(const JobConfig& c, Rules& rules) {
  const OptimizerSection& o = c.optimizer;
  rules.require(o.master_weights == "float32" || c.training.mixed_precision_param == "bfloat16",
                "optimizer.master_weights", o.master_weights,
                " keeps weights in bfloat16, which is what the model must compute in "
                "(training.mixed_precision_param = ",
                c.training.mixed_precision_param, ")");
  const bool fused = o.implementation == "fused";
  rules.require(o.master_weights == "float32" || fused, "optimizer.master_weights",
                o.master_weights, " needs optimizer.implementation = fused (given ",
                o.implementation, ")");
  rules.require(o.state_dtype == "float32" || fused, "optimizer.state_dtype", o.state_dtype,
                " needs optimizer.implementation = fused (given ", o.implementation, ")");
}

void check_sampling(const JobConfig& c, Rules& rules) {
  rules.require(!c.sampling.guidance.empty(), "sampling.guidance", "needs at least one scale");
  const int64_t classes = c.dataset.num_classes;
  for (const int64_t id : c.sampling.classes) {
    rules.require(classes == 0 || id < classes, "sampling.classes", "class ", id,
                  " is outside 0 to ", classes - 1, " (dataset.num_classes = ", classes, ")");
  }
}

void check_profiling(const ProfilingSection& c, Rules& rules) {
  rules.require(!c.enable_profiling || c.profiler_warmup + c.profiler_active <= c.profile_freq,
                "profiling.profile_freq", "a window of ", c.profile_freq,
                " steps does not hold profiling.profiler_warmup + profiling.profiler_active = ",
                c.profiler_warmup + c.profiler_active);
}

void check_operation(const JobConfig& c, Rules& rules) {
  StatusOr<int64_t> limit = int64_t{0};
  if (!c.job.time_limit.empty()) limit = parse_time_limit(c.job.time_limit);
  rules.require(limit.ok(), "job.time_limit", message_of(limit.status()));
  rules.require(!limit.ok() || *limit == 0 || *limit > c.job.time_margin_seconds,
                "job.time_margin_seconds", "must be less than job.time_limit (",
                c.job.time_margin_seconds, " s of ", limit.ok() ? *limit : 0, " s)");
  const int64_t stall = c.comm.stall_timeout_seconds;
  rules.require(stall == 0 || c.comm.heartbeat_seconds <= static_cast<double>(stall),
                "comm.heartbeat_seconds", "must be at most comm.stall_timeout_seconds (",
                c.comm.heartbeat_seconds, " s, ", stall, " s)");
}

}  // namespace

std::vector<Problem> find_problems(const JobConfig& config) {
  Rules rules;
  check_degrees(config.parallelism, rules);
  check_recompute(config.activation_checkpoint, rules);
  check_data(config, rules);
  check_optimizer(config, rules);
  check_sampling(config, rules);
  check_profiling(config.profiling, rules);
  check_operation(config, rules);
  rules.require(!config.checkpoint.folder.empty(), "checkpoint.folder", "must not be empty");
  rules.require(!config.metrics.save_tb_folder.empty(), "metrics.save_tb_folder",
                "must not be empty");
  return rules.take();
}

std::vector<Problem> find_doubts(const JobConfig& config) {
  Rules rules;
  const int64_t warmup = config.lr_scheduler.warmup_steps;
  const int64_t steps = config.training.steps;
  rules.require(warmup < steps, "lr_scheduler.warmup_steps", "the warm-up (", warmup,
                " steps) does not end before training does (training.steps = ", steps, ")");
  const double decay_steps =
      std::round(config.lr_scheduler.decay_ratio.value_or(0.0) * static_cast<double>(steps));
  rules.require(config.lr_scheduler.name != "wsd" || warmup >= steps ||
                    static_cast<double>(warmup) + decay_steps <= static_cast<double>(steps),
                "lr_scheduler.decay_ratio", "the warm-up (", warmup, ") and the decay (",
                decay_steps, ") take more steps than the training has (", steps, ")");
  rules.require(config.checkpoint.enable_checkpoint || config.checkpoint.load_step == -1,
                "checkpoint.load_step",
                "has no effect while checkpoint.enable_checkpoint is false");
  rules.require(config.checkpoint.enable_checkpoint || !config.checkpoint.model_weights_only,
                "checkpoint.model_weights_only",
                "has no effect while checkpoint.enable_checkpoint is false");
  rules.require(config.checkpoint.initial_load_model_weights_only ||
                    !config.checkpoint.initial_load_path.empty(),
                "checkpoint.initial_load_model_weights_only",
                "has no effect without checkpoint.initial_load_path");
  return rules.take();
}

}  // namespace config

Status validate(const JobConfig& config) {
  return config::to_status(config::find_problems(config));
}

}  // namespace titan
