#include "tests/integration/training.h"

#include <sstream>

namespace titan::testing {

const char* const kTrainBinary = TITAN_BINARY_FOLDER "/train";
const char* const kTitanBinary = TITAN_BINARY_FOLDER "/titan";

std::vector<std::string> tiny_job(const std::string& run_folder,
                                  const std::vector<std::string>& extra) {
  std::vector<std::string> arguments = {
      "--config=debug",
      "--job.dump_folder=" + run_folder,
      "--job.num_threads=1",
      "--model.args.dim=32",
      "--model.args.n_layers=2",
      "--model.args.n_heads=4",
      "--training.dataset=synthetic",
      "--training.img_size=16",
      "--training.batch_size=8",
      "--training.steps=6",
      "--training.seed=7",
      "--lr_scheduler.warmup_steps=2",
      "--metrics.log_freq=1",
      "--sampling.no-enable",
  };
  arguments.insert(arguments.end(), extra.begin(), extra.end());
  return arguments;
}

std::vector<std::string> tiny_flux(const std::string& run_folder,
                                   const std::vector<std::string>& extra) {
  std::vector<std::string> arguments = {
      "--config=flux_debug",         "--job.dump_folder=" + run_folder,
      "--job.num_threads=1",         "--model.args.hidden_size=32",
      "--model.args.axes_dim=4,6,6", "--training.batch_size=8",
      "--training.steps=12",         "--eval.eval_freq=32",
      "--eval.subset_size=27",       "--eval.batch_size=5",
      "--checkpoint.interval=6",     "--metrics.log_freq=1",
      "--sampling.no-enable"};
  arguments.insert(arguments.end(), extra.begin(), extra.end());
  return arguments;
}

ProcessResult train(const std::vector<std::string>& arguments,
                    const std::map<std::string, std::string>& environment, double timeout_s) {
  std::vector<std::string> command = {kTrainBinary};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run(command, environment, timeout_s);
}

std::vector<nlohmann::json> metric_lines(const std::string& run_folder, const std::string& kind) {
  std::vector<nlohmann::json> lines;
  std::istringstream file(slurp(run_folder + "/metrics.jsonl"));
  std::string line;
  while (std::getline(file, line)) {
    nlohmann::json object = nlohmann::json::parse(line);
    if (object.at("kind") == kind) lines.push_back(std::move(object));
  }
  return lines;
}

std::map<int64_t, double> losses(const std::string& run_folder) {
  std::map<int64_t, double> by_step;
  for (const nlohmann::json& line : metric_lines(run_folder))
    by_step[line.at("step").get<int64_t>()] = line.at("loss").get<double>();
  return by_step;
}

}  // namespace titan::testing
