// job.h: settings of where a job runs and what it runs on.
#pragma once

#include <cstdint>
#include <string>

#include "titan/config/fields.h"

namespace titan {

struct JobSection {
  std::string config_file;
  std::string dump_folder;
  std::string description = "default job";
  std::string device = "auto";
  bool print_args = false;
  int64_t num_threads = 0;
  std::string time_limit;
  int64_t time_margin_seconds = 0;
};
template <class V>
void visit_fields(JobSection& c, V&& v) {
  v("config_file", c.config_file,
    "TOML file: a path, or a name in train_configs/ (also --config, CONFIG, CONFIG_FILE)");
  v("dump_folder", c.dump_folder, "run folder; empty = outputs/<config name>");
  v("description", c.description, "free text, kept in run.json");
  v("device", c.device,
    "where to train; auto takes CUDA where a device and driver work, and says so",
    rule::one_of({"auto", "cpu", "cuda"}));
  v("print_args", c.print_args, "print the resolved config at start");
  v("num_threads", c.num_threads,
    "CPU threads of one rank for tensor operations; 0 = cores / ranks on this host",
    rule::at_least(0));
  v("time_limit", c.time_limit,
    "time after which the run saves a checkpoint and stops (exit code 3): seconds or "
    "[days-]hours:minutes:seconds; empty = the end that SLURM has set, if any; 0 = none");
  v("time_margin_seconds", c.time_margin_seconds,
    "how long before the end the run begins to stop; 0 = from the time that steps and checkpoints "
    "take",
    rule::at_least(0));
}

struct AttentionSection {
  std::string backend = "auto";
};
template <class V>
void visit_fields(AttentionSection& c, V&& v) {
  v("backend", c.backend,
    "auto = the fastest, measured once at the start; flash = titan's own on the CPU, LibTorch's on "
    "a GPU; math = plain products and softmax",
    rule::one_of({"auto", "cudnn", "flash", "math"}));
}

struct KernelsSection {
  std::string backend = "fused";
};
template <class V>
void visit_fields(KernelsSection& c, V&& v) {
  v("backend", c.backend, "titan's own operators, or the same mathematics in plain ATen",
    rule::one_of({"fused", "reference"}));
}

struct MemorySection {
  bool cpu_cache = true;
  double limit_gib = 0;
  bool check_fit = true;
};
template <class V>
void visit_fields(MemorySection& c, V&& v) {
  v("cpu_cache", c.cpu_cache, "caching CPU allocator with huge pages");
  v("limit_gib", c.limit_gib,
    "memory that one rank may use, in GiB; 0 = the device's, or this rank's share of the machine's",
    rule::at_least(0));
  v("check_fit", c.check_fit,
    "a job whose planned memory exceeds the limit is refused before it starts, with what would "
    "fit");
}

}  // namespace titan
