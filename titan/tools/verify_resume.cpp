#include "titan/tools/verify_resume.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/checkpoint/checkpoint_folder.h"
#include "titan/config/loader.h"
#include "titan/tools/arguments.h"
#include "titan/tools/state_difference.h"
#include "titan/tools/trial_run.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVerifyResumeHelp =
    "titan verify-resume --config NAME [options] [--section.key=value ...]\n"
    "Proves on this machine that stopping does not change training: trains 2N steps in one go, "
    "then\n"
    "  N + N steps: a new process goes on from the checkpoint of step N;\n"
    "  the same run killed (kill -9) once that checkpoint stands, and started again;\n"
    "  with --load-world: ranks in another number go on from it.\n"
    "Weights, averages and both moments of step 2N are compared: bit by bit on the same layout, to "
    "a\n"
    "tolerance on another one. Exit code 0: all agree; 1: a difference; 2: bad input.\n"
    "  --config NAME        as for train; settings of your own behind it as --section.key=value\n"
    "  --world N            ranks on this host (default 1)\n"
    "  --load-world M,...   ranks that load what N saved (each must divide the global batch)\n"
    "  --steps N            steps before and after (default 10)\n"
    "  --tolerance T        largest norm of the difference over norm of the state, per kind of "
    "state,\n"
    "                       on another layout (default 1e-5: sums of gradients in another order)\n"
    "  --folder DIR         where the runs are kept (default: a temporary folder, removed when "
    "all\n"
    "                       agree)\n";

struct Plan {
  std::vector<std::string> settings;  ///< of the user, --config among them
  std::string folder;
  bool temporary = false;
  int64_t steps = 10;
  int64_t world = 1;
  std::vector<int64_t> load_worlds;
  double tolerance = 1e-5;
  JobConfig config;
};

StatusOr<std::vector<int64_t>> parse_worlds(const std::string& text) {
  std::vector<int64_t> worlds;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    int64_t world = 0;
    const auto parsed = std::from_chars(text.data() + at, text.data() + end, world);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + end || world < 1)
      return invalid_argument("--load-world must be numbers of ranks, 2,3,8 (", text, ")");
    worlds.push_back(world);
    at = end + 1;
  }
  return worlds;
}

Status choose_folder(Plan& plan, const std::string& wanted) {
  if (!wanted.empty()) {
    std::error_code error;
    fs::create_directories(wanted, error);
    if (error || !fs::is_empty(wanted, error))
      return invalid_argument("[verify-resume] --folder must be an empty folder (", wanted, ")");
    plan.folder = fs::absolute(wanted).string();
    return ok_status();
  }
  std::string pattern = (fs::temp_directory_path() / "titan-verify-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr)
    return internal_error("[verify-resume] cannot make a temporary folder ", pattern);
  plan.folder = pattern;
  plan.temporary = true;
  return ok_status();
}

/// Samples per step, the same on every layout.
int64_t global_batch(const Plan& plan) {
  const TrainingSection& training = plan.config.training;
  return training.global_batch_size > 0 ? training.global_batch_size
                                        : training.batch_size * plan.world;
}

/// The largest micro-batch up to the config's that `world` ranks can cut the global batch into.
StatusOr<int64_t> micro_batch(const Plan& plan, int64_t world) {
  const int64_t global = global_batch(plan);
  if (global % world != 0)
    return invalid_argument("[verify-resume] ", world, " ranks cannot share a global batch of ",
                            global, "; choose one that fits with --training.global_batch_size=");
  int64_t micro = std::min(plan.config.training.batch_size, global / world);
  while (global / world % micro != 0) --micro;
  return micro;
}

StatusOr<std::vector<std::string>> train_arguments(const Plan& plan, const std::string& run,
                                                   int64_t world) {
  TITAN_ASSIGN_OR_RETURN(const int64_t micro, micro_batch(plan, world));
  std::vector<std::string> arguments = plan.settings;
  const int64_t seed = plan.config.training.seed.value_or(1);
  for (const std::string& setting :
       {str_cat("--job.dump_folder=", plan.folder, "/", run),
        str_cat("--training.steps=", 2 * plan.steps), str_cat("--training.seed=", seed),
        str_cat("--training.batch_size=", micro),
        str_cat("--training.global_batch_size=", global_batch(plan)),
        std::string("--checkpoint.enable_checkpoint=true"),
        std::string("--checkpoint.load_step=-1"), str_cat("--checkpoint.interval=", plan.steps),
        std::string("--checkpoint.keep_latest_k=0"),
        std::string("--checkpoint.model_weights_only=false"),
        std::string("--eval.target_eval_loss=0"), std::string("--sampling.enable=false")})
    arguments.push_back(setting);
  return arguments;
}

std::string step_path(const Plan& plan, const std::string& run, int64_t step) {
  return plan.folder + "/" + run + "/" + plan.config.checkpoint.folder + "/" +
         checkpoint::step_folder_name(step);
}

Status run_to_end(const Plan& plan, const std::string& run, int64_t world) {
  TITAN_ASSIGN_OR_RETURN(const auto arguments, train_arguments(plan, run, world));
  TITAN_ASSIGN_OR_RETURN(TrialRun trial,
                         TrialRun::start(arguments, world, plan.folder + "/" + run + ".log"));
  return trial.wait();
}

/// A new run folder that holds the checkpoint of step N alone.
Status hand_over(const Plan& plan, const std::string& run) {
  const fs::path from = step_path(plan, "whole", plan.steps);
  const fs::path to = step_path(plan, run, plan.steps);
  std::error_code error;
  fs::create_directories(to.parent_path(), error);
  fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::create_hard_links, error);
  if (error) {
    fs::remove_all(to, error);
    fs::copy(from, to, fs::copy_options::recursive, error);
  }
  return error
             ? internal_error("[verify-resume] cannot copy ", from.string(), ": ", error.message())
             : ok_status();
}

Status run_and_kill(const Plan& plan, const std::string& run) {
  TITAN_ASSIGN_OR_RETURN(const auto arguments, train_arguments(plan, run, plan.world));
  TITAN_ASSIGN_OR_RETURN(TrialRun trial,
                         TrialRun::start(arguments, plan.world, plan.folder + "/" + run + ".log"));
  const std::string index = step_path(plan, run, plan.steps) + "/index.json";
  while (!fs::exists(index)) {
    if (trial.ended()) {
      TITAN_RETURN_IF_ERROR(trial.wait());
      break;
    }
    ::usleep(500);
  }
  trial.kill_all();
  if (fs::exists(step_path(plan, run, 2 * plan.steps)))
    return failed_precondition(
        "[verify-resume] the run was over before it could be killed; more "
        "--steps (now ",
        plan.steps, ") leave time");
  return ok_status();
}

/// Prints a check's rows; whether it passed.
StatusOr<bool> report(const Plan& plan, const std::string& check, const std::string& run,
                      bool same_layout) {
  TITAN_ASSIGN_OR_RETURN(const std::vector<GroupDifference> groups,
                         compare_states(step_path(plan, "whole", 2 * plan.steps),
                                        step_path(plan, run, 2 * plan.steps)));
  bool passed = true;
  for (const GroupDifference& group : groups) {
    const bool agrees = same_layout ? group.unequal == 0 : group.relative <= plan.tolerance;
    passed = passed && agrees;
    std::printf("%-34s %-17s %12lld %12lld %10.2e %10.2e  %s%s%s\n", check.c_str(),
                group.group.c_str(), static_cast<long long>(group.elements),
                static_cast<long long>(group.unequal), group.largest, group.relative,
                agrees ? "agree" : "DIFFER", group.unequal > 0 ? ", most in " : "",
                group.largest_in.c_str());
  }
  std::fflush(stdout);
  return passed;
}

StatusOr<bool> verify(const Plan& plan) {
  TITAN_LOG(INFO) << "[verify-resume] " << 2 * plan.steps << " steps on " << plan.world
                  << " ranks in one go; runs in " << plan.folder;
  TITAN_RETURN_IF_ERROR(run_to_end(plan, "whole", plan.world));
  std::printf("%-34s %-17s %12s %12s %10s %10s\n", "compared with the run in one go", "state",
              "elements", "bits differ", "largest", "relative");
  bool passed = true;
  const auto check = [&](const std::string& name, const std::string& run, int64_t world,
                         bool same_layout) -> Status {
    TITAN_RETURN_IF_ERROR(run_to_end(plan, run, world));
    TITAN_ASSIGN_OR_RETURN(const bool agrees, report(plan, name, run, same_layout));
    passed = passed && agrees;
    return ok_status();
  };
  TITAN_RETURN_IF_ERROR(hand_over(plan, "resumed"));
  TITAN_RETURN_IF_ERROR(
      check(str_cat(plan.steps, " + ", plan.steps, " steps, ", plan.world, " ranks"), "resumed",
            plan.world, true));
  TITAN_RETURN_IF_ERROR(run_and_kill(plan, "killed"));
  TITAN_RETURN_IF_ERROR(
      check(str_cat("kill -9 after step ", plan.steps, ", ", plan.world, " ranks"), "killed",
            plan.world, true));
  for (const int64_t world : plan.load_worlds) {
    const std::string run = str_cat("on-", world);
    TITAN_RETURN_IF_ERROR(hand_over(plan, run));
    TITAN_RETURN_IF_ERROR(check(str_cat("saved on ", plan.world, ", loaded on ", world), run, world,
                                /*same_layout=*/world == plan.world));
  }
  return passed;
}

StatusOr<Plan> make_plan(const std::vector<std::string>& args, bool* help) {
  Plan plan;
  SplitArguments parts = split_settings(args);
  plan.settings = std::move(parts.settings);
  TITAN_ASSIGN_OR_RETURN(const Arguments parsed,
                         Arguments::parse(parts.own, {"config", "world", "load-world", "steps",
                                                      "tolerance", "folder", "help"}));
  *help = parsed.has("help");
  if (*help) return plan;
  if (!parsed.words().empty())
    return invalid_argument("unknown word ", parsed.words().front(),
                            " (settings of train are given as --section.key=value)");
  if (!parsed.has("config")) return invalid_argument("needs --config NAME");
  plan.settings.insert(plan.settings.begin(), "--config=" + parsed.text("config", ""));
  TITAN_ASSIGN_OR_RETURN(plan.steps, parsed.integer("steps", 10, 1, 1'000'000));
  TITAN_ASSIGN_OR_RETURN(plan.world, parsed.integer("world", 1, 1, 4096));
  TITAN_ASSIGN_OR_RETURN(plan.load_worlds, parse_worlds(parsed.text("load-world", "")));
  TITAN_ASSIGN_OR_RETURN(plan.tolerance, parsed.real("tolerance", 1e-5, 0.0, 1.0));
  TITAN_ASSIGN_OR_RETURN(LoadedConfig loaded, load_config(plan.settings));
  plan.config = std::move(loaded.config);
  TITAN_RETURN_IF_ERROR(micro_batch(plan, plan.world).status());
  for (const int64_t world : plan.load_worlds)
    TITAN_RETURN_IF_ERROR(micro_batch(plan, world).status());
  TITAN_RETURN_IF_ERROR(choose_folder(plan, parsed.text("folder", "")));
  return plan;
}

}  // namespace

int verify_resume_main(const std::vector<std::string>& args) {
  bool help = false;
  const StatusOr<Plan> plan = make_plan(args, &help);
  if (help) {
    std::fputs(kVerifyResumeHelp, stdout);
    return 0;
  }
  const StatusOr<bool> passed = plan.ok() ? verify(*plan) : plan.status();
  if (!passed.ok()) return exit_with(annotate(passed.status(), "verify-resume"));
  if (*passed && plan->temporary) fs::remove_all(plan->folder);
  if (*passed) {
    std::puts("all agree");
    return 0;
  }
  std::printf("they differ; the runs are in %s\n", plan->folder.c_str());
  return 1;
}

}  // namespace titan
