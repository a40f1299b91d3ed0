#include "titan/tools/replay_request.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "titan/checkpoint/checkpoint_folder.h"
#include "titan/config/loader.h"
#include "titan/io/atomic_file.h"
#include "titan/io/json_as.h"
#include "titan/metrics/step_statistics.h"
#include "titan/tools/arguments.h"
#include "titan/train/run_folder.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

/// What a replay needs of run.json.
struct RunFacts {
  int64_t world_size = 1;
  std::string seed;
};
StatusOr<RunFacts> read_facts(const std::string& path) {
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path, /*max_bytes=*/64 << 20));
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    return RunFacts{.world_size = json_as<int64_t>(json.at("world_size")),
                    .seed = std::to_string(json_as<std::uint64_t>(json.at("seed")))};
  } catch (const nlohmann::json::exception& error) {
    return data_loss("[replay] ", path, " cannot be read: ", error.what());
  }
}

/// The newest checkpoint of which `step` is still to come; 0 = none.
StatusOr<int64_t> nearest_checkpoint(const std::string& folder, int64_t step) {
  TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> steps,
                         checkpoint::CheckpointFolder(folder).steps());
  int64_t nearest = 0;
  for (const int64_t one : steps)
    if (one < step) nearest = std::max(nearest, one);
  return nearest;
}

/// Nothing but the steps themselves: what a run does between them draws from nothing that steps
/// draw from.
std::vector<std::string> quiet_settings() {
  return {"--checkpoint.enable_checkpoint=false",
          "--eval.dataset=",
          "--sampling.enable=false",
          "--metrics.mlperf_logging=false",
          "--metrics.enable_tensorboard=false",
          "--metrics.enable_wandb=false",
          "--profiling.enable_profiling=false",
          "--profiling.enable_memory_snapshot=false",
          "--training.cuda_graphs=off",
          "--job.time_limit=0"};
}

/// RUN/replay/step-000147, of one sample RUN/replay/step-000147-sample-562: neither stands in the
/// place of the other.
std::string default_output(const RunFolder& run, const ReplayRequest& request) {
  std::string name = checkpoint::step_folder_name(request.step);
  if (request.sample) name += "-sample-" + std::to_string(*request.sample);
  return (run.path() / "replay" / name).string();
}

Status check_folders(const ReplayRequest& request) {
  if (fs::exists(fs::path(request.output) / "config.toml"))
    return invalid_argument("[replay] ", request.output,
                            " is a run's folder, whose files a replay would replace; --output "
                            "names another");
  if (request.against.empty()) return ok_status();
  const fs::path file = fs::path(request.against) / metrics::statistics_file_name(0);
  if (!fs::is_regular_file(file))
    return not_found("[replay] --against: ", file.string(), " is not there");
  std::error_code none;
  if (fs::equivalent(request.against, request.output, none))
    return invalid_argument("[replay] --against ", request.against,
                            " is where this replay goes; --output DIR names another place");
  return ok_status();
}

}  // namespace

StatusOr<ReplayRequest> read_replay_request(const std::vector<std::string>& args) {
  const SplitArguments parts = split_settings(args);
  TITAN_ASSIGN_OR_RETURN(const Arguments options,
                         Arguments::parse(parts.own, {"step", "sample", "output", "against"}));
  if (options.words().size() != 1)
    return invalid_argument("[replay] one run folder is needed; titan replay --help");
  if (!options.has("step")) return invalid_argument("[replay] --step N says which step");
  ReplayRequest request;
  request.run = options.words().front();
  const RunFolder run = RunFolder::view(request.run);
  if (!fs::is_regular_file(run.config_path()))
    return not_found("[replay] ", request.run, " is no run folder: it has no config.toml");
  TITAN_ASSIGN_OR_RETURN(request.step, options.integer("step", 0, 1, INT64_MAX));
  if (options.has("sample")) {
    TITAN_ASSIGN_OR_RETURN(request.sample, options.integer("sample", 0, 0, INT64_MAX));
  }
  request.against = options.text("against", "");
  request.output = options.text("output", default_output(run, request));
  request.work = (fs::path(request.output) / "unfinished").string();
  TITAN_RETURN_IF_ERROR(check_folders(request));
  TITAN_ASSIGN_OR_RETURN(const RunFacts facts, read_facts(run.info_path().string()));
  request.run_world_size = facts.world_size;

  const std::string config = "--config=" + run.config_path().string();
  TITAN_ASSIGN_OR_RETURN(const LoadedConfig loaded, load_config({config}));
  const int64_t steps = loaded.config.training.steps;
  if (request.step > steps)
    return invalid_argument("[replay] step ", request.step, " is behind the run's last, ", steps);
  const std::string checkpoints = (run.path() / loaded.config.checkpoint.folder).string();
  TITAN_ASSIGN_OR_RETURN(request.from_step, nearest_checkpoint(checkpoints, request.step));

  request.settings = {config, "--job.dump_folder=" + request.work, "--training.seed=" + facts.seed};
  for (const std::string& setting : quiet_settings()) request.settings.push_back(setting);
  if (request.from_step > 0) {
    request.settings.push_back(
        "--checkpoint.initial_load_path=" +
        checkpoint::CheckpointFolder(checkpoints).step_path(request.from_step));
    request.settings.push_back("--checkpoint.initial_load_model_weights_only=false");
    request.settings.push_back("--checkpoint.exclude_from_loading=[]");
  }
  request.settings.insert(request.settings.end(), parts.settings.begin(), parts.settings.end());
  return request;
}

}  // namespace titan
