// metrics.h: settings of what is measured and where it goes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/config/fields.h"

namespace titan {

struct MetricsSection {
  int64_t log_freq = 10;
  bool log_to_console = true;
  bool disable_color_printing = false;
  bool enable_tensorboard = false;
  std::string save_tb_folder = "tb";
  bool save_for_all_ranks = false;
  bool mlperf_logging = false;
  bool enable_wandb = false;
};
template <class V>
void visit_fields(MetricsSection& c, V&& v) {
  v("log_freq", c.log_freq, "steps between metric lines; step 1 and the last are always logged",
    rule::at_least(1));
  v("log_to_console", c.log_to_console,
    "metric lines (or a progress bar on a terminal) on the screen");
  v("disable_color_printing", c.disable_color_printing, "no colours");
  v("enable_tensorboard", c.enable_tensorboard, "write TensorBoard events");
  v("save_tb_folder", c.save_tb_folder, "folder of TensorBoard events inside the run folder");
  v("save_for_all_ranks", c.save_for_all_ranks, "events of every rank, not of rank 0 alone");
  v("mlperf_logging", c.mlperf_logging,
    "MLPerf's :::MLLOG lines, on the screen and in the run's mlperf.log");
  v("enable_wandb", c.enable_wandb,
    "send metrics to Weights & Biases by a process beside the run (scripts/wandb_sidecar.py); "
    "WANDB_PROJECT, WANDB_MODE=offline and their kin are its own variables");
}

struct MlperfSection {
  std::string submission_benchmark = "flux1";
  std::string submission_division = "closed";
  std::string submission_org;
  std::string submission_platform;
  std::string submission_status = "onprem";
  std::string submission_poc_name;
  std::string submission_poc_email;
  bool cache_clear = false;
};
template <class V>
void visit_fields(MlperfSection& c, V&& v) {
  v("submission_benchmark", c.submission_benchmark, "name of the benchmark");
  v("submission_division", c.submission_division, "division of the submission",
    rule::one_of({"closed", "open"}));
  v("submission_org", c.submission_org, "who submits; the compliance checker wants one");
  v("submission_platform", c.submission_platform,
    "the machine, in words; the compliance checker wants one");
  v("submission_status", c.submission_status, "onprem, cloud, preview or research");
  v("submission_poc_name", c.submission_poc_name, "whom to ask");
  v("submission_poc_email", c.submission_poc_email, "and where");
  v("cache_clear", c.cache_clear,
    "whether the system's file caches were dropped before this run; the launch script does it");
}

struct TraceSection {
  bool enable = true;
  int64_t keep_steps = 16;
  std::vector<int64_t> write_at = {};
};
template <class V>
void visit_fields(TraceSection& c, V&& v) {
  v("enable", c.enable,
    "record what each rank does (units, collectives) in a ring buffer; written on a failure, on "
    "SIGUSR2 and at write_at");
  v("keep_steps", c.keep_steps, "steps that the ring buffer holds", rule::at_least(1));
  v("write_at", c.write_at, "steps after which the trace is written to the run folder",
    rule::at_least(1));
}

}  // namespace titan
