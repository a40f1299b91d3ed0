#include "titan/train/launcher.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <charconv>
#include <string>
#include <vector>

#include "titan/base/environment.h"
#include "titan/base/slurm_env.h"
#include "titan/base/status.h"
#include "titan/train/deadline.h"
#include "titan/train/local_job.h"
#include "titan/train/restart_note.h"

namespace titan {
namespace {

constexpr int kBadInput = 2;
constexpr int kStoppedBySignal = 3;
constexpr const char* kLauncherPid = "TITAN_LAUNCHER_PID";

/// A started rank ends with its launcher, however that ends.
void follow_launcher() {
  if (!environment(kLauncherPid)) return;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (environment(kLauncherPid) != std::to_string(getppid()))
    raise(SIGTERM);  // gone before the line above
}

StatusOr<int> number_of(const char* name, const char* fallback, int least, const char* what) {
  const std::string text = environment(name).value_or(fallback);
  int number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size() || number < least) {
    return invalid_argument(name, " must be ", what, " (", name, "=\"", text, "\")");
  }
  return number;
}

std::string failed_at(std::int64_t step) {
  return step > 0 ? str_cat("failed in step ", step) : "failed before the first step";
}

/// Whether another attempt may end better. `ended_at`: the step that was under way.
bool worth_another(const LocalJobEnd& end, std::int64_t ended_at,
                   std::optional<std::int64_t> ended_before_at) {
  if (end.exit_code == 0 || end.exit_code == kStoppedBySignal) return false;
  if (end.signalled) {
    say_as_launcher("not started again: the launcher was told to stop");
  } else if (end.exit_code == kBadInput) {
    say_as_launcher("not started again: it would be refused again");
  } else if (ended_before_at == ended_at) {
    say_as_launcher(str_cat("not started again: two attempts in a row ", failed_at(ended_at)));
  } else {
    return true;
  }
  return false;
}

int run_attempts(const std::vector<std::string>& arguments, int num_ranks, int max_restarts,
                 const LauncherSignals& signals, StepMark& mark) {
  std::optional<std::int64_t> ended_before_at;
  RestartNote note;
  while (true) {
    std::map<std::string, std::string> environment = mark.variables();
    environment.insert(job_began_variable());
    environment.merge(restart_variables(note));
    environment[kLauncherPid] = std::to_string(getpid());
    mark.clear();
    const LocalJobEnd end = LocalJob(signals, arguments, num_ranks, std::move(environment)).run();
    if (max_restarts == 0) return end.exit_code;
    const std::int64_t ended_at = mark.read();
    if (!worth_another(end, ended_at, ended_before_at)) return end.exit_code;
    if (note.number == max_restarts) {
      say_as_launcher(str_cat("not started again: MAX_RESTARTS=", max_restarts, " are used up"));
      return end.exit_code;
    }
    ended_before_at = ended_at;
    note = {.number = note.number + 1, .cause = end.cause};
    say_as_launcher(str_cat("restart ", note.number, " of ", max_restarts,
                            " from the last checkpoint; ", failed_at(ended_at), ": ", note.cause));
  }
}

int launch(const std::vector<std::string>& arguments, int num_ranks, int max_restarts) {
  const StatusOr<LauncherSignals> signals = LauncherSignals::open();
  StatusOr<StepMark> mark = StepMark::make();
  for (const Status& status : {signals.status(), mark.status()}) {
    if (status.ok()) continue;
    say_as_launcher(message_of(status));
    return exit_code_for(status);
  }
  return run_attempts(arguments, num_ranks, max_restarts, *signals, *mark);
}

}  // namespace

std::optional<int> launch_ranks_if_asked(int argc, char** argv) {
  if (environment("RANK") || environment("WORLD_SIZE") || is_slurm_task()) {
    follow_launcher();
    return std::nullopt;
  }
  const StatusOr<int> ranks = number_of("NGPU", "1", 1, "a positive number of ranks");
  const StatusOr<int> restarts = number_of("MAX_RESTARTS", "0", 0, "a number of restarts");
  for (const Status& status : {ranks.status(), restarts.status()}) {
    if (status.ok()) continue;
    say_as_launcher(message_of(status));
    return exit_code_for(status);
  }
  if (*ranks == 1 && *restarts == 0) return std::nullopt;
  return launch({argv, argv + argc}, *ranks, *restarts);
}

}  // namespace titan
