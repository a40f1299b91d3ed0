#include "titan/train/mlperf_log.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <optional>

#include "titan/base/log.h"
#include "titan/io/atomic_file.h"

namespace titan {
namespace {

using metrics::MllogValue;

MllogValue samples_count(int64_t samples) { return {{"samples_count", samples}}; }

/// MLPerf's names of number formats.
std::string precision_name(const std::string& dtype) { return dtype == "float32" ? "fp32" : dtype; }

MllogValue known(const std::optional<double>& value) {
  return value ? MllogValue(*value) : MllogValue(nullptr);
}

}  // namespace

StatusOr<std::unique_ptr<MlperfLog>> MlperfLog::open(const JobConfig& config, bool is_main,
                                                     const std::string& path,
                                                     const MlperfFacts& facts) {
  std::unique_ptr<MlperfLog> log(new MlperfLog(nullptr));
  log->samples_ = facts.cursor;
  if (!config.metrics.mlperf_logging || !is_main) return log;
  metrics::MllogRest rest;
  if (facts.cursor > 0) {
    TITAN_ASSIGN_OR_RETURN(rest, metrics::cut_mllog_back(path, facts.cursor));
  } else {
    TITAN_RETURN_IF_ERROR(write_file_atomically(path, ""));
  }
  TITAN_ASSIGN_OR_RETURN(log->writer_, metrics::MllogWriter::open(path, facts.show));
  log->resumed_ = rest.run_started;
  log->block_open_ = rest.block_open;
  if (log->resumed_) return log;
  for (const auto& [name, value] : {std::pair{"submission_org", &config.mlperf.submission_org},
                                    {"submission_platform", &config.mlperf.submission_platform}}) {
    if (value->empty())
      TITAN_LOG(WARNING) << "[mlperf] mlperf." << name
                         << " is empty: the compliance checker will refuse this log";
  }
  log->writer_->set_time(facts.init_began_ms);
  log->writer_->point("cache_clear", config.mlperf.cache_clear);
  log->writer_->start("init_start", nullptr);
  log->writer_->set_time(std::nullopt);
  log->write_submission(config);
  log->write_setup(config, facts);
  log->write_optimizer(config);
  return log;
}

void MlperfLog::write_submission(const JobConfig& config) {
  const MlperfSection& c = config.mlperf;
  writer_->point("submission_benchmark", c.submission_benchmark);
  writer_->point("submission_division", c.submission_division);
  writer_->point("submission_org", c.submission_org);
  writer_->point("submission_platform", c.submission_platform);
  writer_->point("submission_status", c.submission_status);
  writer_->point("submission_poc_name", c.submission_poc_name);
  writer_->point("submission_poc_email", c.submission_poc_email);
}

void MlperfLog::write_setup(const JobConfig& config, const MlperfFacts& facts) {
  const std::string compute = precision_name(config.training.mixed_precision_param);
  writer_->point("train_samples", facts.train_samples);
  writer_->point("eval_samples", facts.eval_samples);
  writer_->point("seed", facts.seed);
  writer_->point("global_batch_size", facts.global_batch);
  writer_->point("micro_batch_size", facts.micro_batch);
  writer_->point("gradient_accumulation_steps", facts.accumulation);
  writer_->point("evaluation_frequency", facts.samples_between_evals);
  writer_->point("lowest_numerical_precision_in_linear", compute);
  writer_->point("lowest_numerical_precision_in_attn", compute);
  writer_->point("lowest_numerical_precision_in_comm",
                 precision_name(config.training.mixed_precision_reduce));
  writer_->point("tensor_parallelism", config.parallelism.tensor_parallel_degree);
  writer_->point("pipeline_parallelism", config.parallelism.pipeline_parallel_degree);
  writer_->point("context_parallelism", config.parallelism.context_parallel_degree);
  writer_->point("expert_parallelism", 1);
  writer_->point("config_filename",
                 std::filesystem::path(config.job.config_file).filename().string());
}

void MlperfLog::write_optimizer(const JobConfig& config) {
  const OptimizerSection& c = config.optimizer;
  std::string name = c.name;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  const std::string prefix = "opt_" + name + "_";
  writer_->point("opt_name", name);
  writer_->point("opt_base_learning_rate", c.lr);
  writer_->point("opt_learning_rate_warmup_steps", config.lr_scheduler.warmup_steps);
  writer_->point(prefix + "beta_1", c.beta1);
  writer_->point(prefix + "beta_2", c.beta2);
  writer_->point(prefix + "epsilon", c.eps);
  if (c.name == "AdamW") writer_->point(prefix + "weight_decay", c.weight_decay);
  writer_->point("opt_gradient_clip_norm", config.training.max_norm);
}

MlperfLog::~MlperfLog() {
  if (running_) run_stop(false, samples_);
}

void MlperfLog::run_start() {
  if (!writer_) return;
  running_ = true;
  if (resumed_) {
    writer_->point("titan_resumed", nullptr, samples_count(samples_));
    return;
  }
  writer_->end("init_stop", nullptr);
  writer_->start("run_start", nullptr);
}

void MlperfLog::before_step(int64_t samples) {
  if (!writer_) return;
  samples_ = samples;
  if (block_open_) return;
  writer_->start("block_start", nullptr, samples_count(samples));
  block_open_ = true;
}

void MlperfLog::record(const metrics::TrainRecord& record) {
  if (!writer_) return;
  samples_ = record.samples;
  MllogValue place = samples_count(record.samples);
  place["step_num"] = record.step;
  writer_->point("tracked_stats",
                 {{"throughput", known(record.samples_per_s)},
                  {"loss", known(record.loss)},
                  {"lr", known(record.lr)},
                  {"train_step_time", known(record.step_s)}},
                 place);
}

void MlperfLog::close_block(int64_t samples) {
  if (!block_open_) return;
  writer_->end("block_stop", nullptr, samples_count(samples));
  block_open_ = false;
}

void MlperfLog::eval_start(int64_t samples) {
  if (!writer_) return;
  samples_ = samples;
  close_block(samples);
  writer_->start("eval_start", nullptr, samples_count(samples));
}

void MlperfLog::eval_stop(int64_t samples, double loss) {
  if (!writer_) return;
  writer_->point("eval_accuracy", loss, samples_count(samples));
  writer_->end("eval_stop", nullptr, samples_count(samples));
}

void MlperfLog::run_stop(bool success, int64_t samples) {
  if (!writer_ || !running_) return;
  running_ = false;
  samples_ = samples;
  close_block(samples);
  MllogValue place = samples_count(samples);
  place["status"] = success ? "success" : "aborted";
  writer_->end("run_stop", nullptr, place);
}

}  // namespace titan
