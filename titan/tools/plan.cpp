#include "titan/tools/plan.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/config/loader.h"
#include "titan/config/value.h"
#include "titan/models/builtin.h"
#include "titan/plan/data_view.h"
#include "titan/plan/dry_run.h"
#include "titan/plan/fit.h"
#include "titan/plan/published.h"
#include "titan/plan/report.h"
#include "titan/train/batch_plan.h"
#include "titan/train/model_setup.h"

namespace titan {
namespace {

constexpr const char* kPlanHelp =
    "titan plan --config NAME [options] [--section.key=value ...]\n"
    "What one rank of a job holds and how long a step takes, as configured and in other layouts;\n"
    "needs no device and none of the model's memory.\n"
    "  --config NAME          as train's; settings are given as there\n"
    "  --world N              ranks (1)\n"
    "  --nodes N              hosts (ranks / ranks-per-node)\n"
    "  --ranks-per-node N     ranks on a host (8, or all where they are fewer)\n"
    "  --device NAME          a100, h100, h200, b200, b300, gb200, gb300, mi300x, mi325x or cpu\n"
    "                         (cpu): whose memory, rates and kernels are planned for\n"
    "  --dry-run              builds and checks every rank's part: slices, groups, slots\n"
    "  --mlperf-rows FILE     predicts the published step times of a table\n"
    "                         (docs/results/mlperf_flux_rows.tsv)\n"
    "Figures are GiB. Memory is counted; times are a model: docs/planner.md.\n";

/// The verb's own options; what remains is train's.
struct Options {
  std::map<std::string, std::string> own;
  std::vector<std::string> settings;

  bool has(const std::string& name) const { return own.count(name) != 0; }
  StatusOr<int64_t> integer(const std::string& name, int64_t otherwise) const {
    const auto found = own.find(name);
    if (found == own.end()) return otherwise;
    try {
      std::size_t used = 0;
      const int64_t value = std::stoll(found->second, &used);
      if (used == found->second.size() && value >= 1) return value;
    } catch (const std::exception&) {
    }
    return invalid_argument("[plan] --", name, " must be a whole number of at least 1 (given ",
                            found->second, ")");
  }
};

StatusOr<Options> parse(const std::vector<std::string>& args) {
  static const std::map<std::string, bool> kOwn = {
      // whether a value follows
      {"world", true},    {"nodes", true},       {"ranks-per-node", true}, {"device", true},
      {"dry-run", false}, {"mlperf-rows", true}, {"help", false}};
  Options options;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::size_t equals = args[i].find('=');
    const std::string name = args[i].rfind("--", 0) == 0 ? args[i].substr(2, equals - 2) : "";
    const auto known = kOwn.find(name);
    if (known == kOwn.end()) {
      options.settings.push_back(args[i]);
    } else if (!known->second) {
      options.own[name] = "";
    } else if (equals != std::string::npos) {
      options.own[name] = args[i].substr(equals + 1);
    } else if (i + 1 < args.size()) {
      options.own[name] = args[++i];
    } else {
      return invalid_argument("[plan] --", name, " needs a value");
    }
  }
  return options;
}

/// The job's samples; made up in their shape where the data are not on this machine.
StatusOr<std::unique_ptr<Dataset>> open_data(JobConfig& config, const ModelSpec& spec) {
  StatusOr<std::unique_ptr<Dataset>> dataset = spec.dataset(config);
  if (dataset.ok()) return dataset;
  TITAN_LOG(WARNING) << "[plan] samples of made-up shape are taken: "
                     << message_of(dataset.status());
  config.training.dataset = config.model.name == "flux" ? "flux_synthetic" : "synthetic";
  // The empty prompt's encoding lies with the data.
  config.encoder.empty_encodings_path.reset();
  const auto channels = config.model.args.find("in_channels");
  if (channels != config.model.args.end()) {
    for (const ArgScalar& item : config::list_items(channels->second))
      (void)config::convert(item, config.dataset.channels);  // a wrong value is said by the model
  }
  return spec.dataset(config);
}

struct Job {
  JobConfig config;
  ModelSpec spec;
  DataShape shape;
  std::optional<plan::ShapeModel> model;
  plan::Layout layout;
  plan::Hardware hardware;
  int64_t world = 1;
  int64_t ranks_per_node = 1;
};

StatusOr<int64_t> node_size(const Options& options, int64_t world) {
  TITAN_ASSIGN_OR_RETURN(const int64_t nodes, options.integer("nodes", 1));
  const int64_t usual = options.has("nodes") ? world / nodes : std::min<int64_t>(world, 8);
  TITAN_ASSIGN_OR_RETURN(const int64_t size, options.integer("ranks-per-node", usual));
  if (size < 1 || world % size != 0 || (options.has("nodes") && size * nodes != world)) {
    return invalid_argument("[plan] nodes x ranks-per-node must be the number of ranks (world=",
                            world, ", nodes=", nodes, ", ranks-per-node=", size, ")");
  }
  return size;
}

Status prepare(const Options& options, Job& job) {
  TITAN_ASSIGN_OR_RETURN(LoadedConfig loaded, load_config(options.settings));
  job.config = std::move(loaded.config);
  TITAN_ASSIGN_OR_RETURN(job.world, options.integer("world", 1));
  TITAN_ASSIGN_OR_RETURN(job.ranks_per_node, node_size(options, job.world));
  const auto device = options.own.find("device");
  TITAN_ASSIGN_OR_RETURN(job.hardware,
                         plan::find_hardware(device == options.own.end() ? "cpu" : device->second));
  TITAN_ASSIGN_OR_RETURN(job.spec, complete_spec(job.config));
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> dataset, open_data(job.config, job.spec));
  TITAN_ASSIGN_OR_RETURN(DataView data, view_of(*dataset, job.config, job.spec));
  job.shape = data.shape;
  TITAN_ASSIGN_OR_RETURN(job.model, plan::ShapeModel::build(job.config, job.spec, std::move(data)));
  TITAN_ASSIGN_OR_RETURN(job.layout.dims,
                         parallel::resolve_parallel_dims(job.config.parallelism, job.world));
  TITAN_ASSIGN_OR_RETURN(
      const BatchPlan batches,
      plan_batches(job.config.training.batch_size, job.config.training.global_batch_size,
                   job.layout.dims.dp_size()));
  job.layout.config = job.config;
  job.layout.name = plan::strategy_name(job.config, job.layout.dims);
  job.layout.micro_batch = batches.micro_batch;
  job.layout.accumulation = batches.accumulation;
  job.layout.device = job.hardware.name == "cpu" ? c10::DeviceType::CPU : c10::DeviceType::CUDA;
  return ok_status();
}

Status print_table(Job& job) {
  TITAN_ASSIGN_OR_RETURN(const ModelFlops flops, job.spec.flops
                                                     ? job.spec.flops(job.config, job.shape)
                                                     : StatusOr<ModelFlops>(ModelFlops{}));
  const plan::MemoryLimit limit =
      plan::memory_limit(job.config, job.layout.device,
                         static_cast<int64_t>(job.hardware.memory_bytes), job.ranks_per_node);
  std::printf(
      "%s %s: %s parameters, %s FLOP a sample; %lld ranks of %s, %lld a node; "
      "micro-batch %lld x %lld; limit %s (%s)\n\n",
      job.config.model.name.c_str(), job.config.model.flavor.c_str(),
      human_number(static_cast<double>(job.model->num_parameters())).c_str(),
      human_number(static_cast<double>(flops.train)).c_str(), static_cast<long long>(job.world),
      job.hardware.name.c_str(), static_cast<long long>(job.ranks_per_node),
      static_cast<long long>(job.layout.micro_batch),
      static_cast<long long>(job.layout.accumulation),
      human_bytes(static_cast<double>(limit.bytes)).c_str(), limit.source.c_str());
  std::vector<plan::PlanRow> rows;
  const std::string configured = job.config.activation_checkpoint.mode;
  for (const plan::Layout& layout : plan::strategies(job.layout, job.world, job.ranks_per_node)) {
    for (const std::string mode : {"none", "selective", "full"}) {
      plan::Layout tried = layout;
      if (mode != configured) {
        tried.config.activation_checkpoint = {};
        tried.config.activation_checkpoint.mode = mode;
        tried.config.activation_checkpoint.selective_ac_option = "op";
      }
      TITAN_ASSIGN_OR_RETURN(
          plan::PlanRow row,
          plan::plan_row(*job.model, tried, flops, job.hardware, job.ranks_per_node, limit.bytes));
      if (rows.size() < 3 && mode == configured) row.strategy += " *";
      rows.push_back(std::move(row));
    }
  }
  std::printf(
      "%s\n* as configured; other selective rows keep attention and every second matrix product\n",
      plan::to_table(rows).c_str());
  return ok_status();
}

Status print_dry_run(Job& job) {
  const auto start = std::chrono::steady_clock::now();
  TITAN_ASSIGN_OR_RETURN(const plan::EngineShape shape, plan::engine_shape(job.layout));
  const std::vector<parallel::UnitLayout> units = job.model->layouts(shape.shard_ranks);
  TITAN_ASSIGN_OR_RETURN(const plan::DryRun run, plan::dry_run(units, job.layout.dims, shape));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf(
      "%lld ranks (%s, %lld x %lld), %zu units: %lld fragments cover every parameter once "
      "in each replica, %lld groups agree; a rank holds %s of weights and slots of %s + "
      "%s; %.2f s\n",
      static_cast<long long>(run.ranks), job.layout.name.c_str(),
      static_cast<long long>(job.layout.dims.dp_replicate),
      static_cast<long long>(job.layout.dims.dp_shard), units.size(),
      static_cast<long long>(run.fragments), static_cast<long long>(run.groups),
      human_bytes(static_cast<double>(run.largest_slice)).c_str(),
      human_bytes(static_cast<double>(run.gather_slots)).c_str(),
      human_bytes(static_cast<double>(run.message_slots)).c_str(), seconds);
  return ok_status();
}

Status run(const Options& options) {
  if (options.has("mlperf-rows")) {
    TITAN_ASSIGN_OR_RETURN(const std::vector<plan::PublishedRow> rows,
                           plan::read_published(options.own.at("mlperf-rows")));
    TITAN_ASSIGN_OR_RETURN(const plan::PublishedModel model, plan::calibrate(rows));
    std::fputs(plan::published_report(rows, model).c_str(), stdout);
    return ok_status();
  }
  TITAN_RETURN_IF_ERROR(models::register_builtin_models());
  Job job;
  TITAN_RETURN_IF_ERROR(prepare(options, job));
  return options.has("dry-run") ? print_dry_run(job) : print_table(job);
}

}  // namespace

int plan_main(const std::vector<std::string>& args) {
  const StatusOr<Options> options = parse(args);
  if (options.ok() && options->has("help")) {
    std::fputs(kPlanHelp, stdout);
    return 0;
  }
  const Status status = options.ok() ? run(*options) : options.status();
  return exit_with(status);
}

}  // namespace titan
