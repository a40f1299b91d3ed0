#include "titan/train/launcher.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/rank_env.h"
#include "titan/base/status.h"
#include "titan/parallel/cpu_share.h"
#include "titan/train/rank_process.h"

namespace titan {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kGrace{10};  // from SIGTERM to SIGKILL
constexpr std::chrono::seconds kDrain{2};  // for output of a rank's own children after it has ended
constexpr int kStoppedBySignal = 3;        // a rank's exit code that is no failure
constexpr const char* kLauncherPid = "TITAN_LAUNCHER_PID";

std::string env_or(const char* name, const std::string& fallback) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? fallback : value;
}

bool env_set(const char* name) { return !env_or(name, "").empty(); }

void say(const std::string& text) { write_fully(STDERR_FILENO, "[launcher] " + text + "\n"); }

/// A started rank ends with its launcher, however that ends.
void follow_launcher() {
  if (!env_set(kLauncherPid)) return;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (env_or(kLauncherPid, "") != std::to_string(getppid()))
    raise(SIGTERM);  // gone before the line above
}

StatusOr<int> asked_ranks() {
  const std::string text = env_or("NGPU", "1");
  int ranks = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), ranks);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size() || ranks < 1) {
    return invalid_argument("NGPU must be a positive number of ranks (NGPU=\"", text, "\")");
  }
  return ranks;
}

StatusOr<int> free_port() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const bool found = listener >= 0 &&
                     bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  const int error = errno;
  if (listener >= 0) close(listener);
  if (!found) return internal_error("no free port for the ranks to meet: ", std::strerror(error));
  return ntohs(address.sin_port);
}

int count_shown(int num_ranks) {
  int shown = 0;
  for (int r = 0; r < num_ranks; ++r) shown += log_rank_selected(r) ? 1 : 0;
  return shown;
}

/// The ranks of one job on this host, from start to end.
class LocalJob {
 public:
  LocalJob(int argc, char** argv, int num_ranks)
      : arguments_(argv, argv + argc), num_ranks_(num_ranks) {}
  ~LocalJob() {
    if (signals_ >= 0) close(signals_);
  }
  LocalJob(const LocalJob&) = delete;
  LocalJob& operator=(const LocalJob&) = delete;

  int run() {
    Status started = catch_signals();
    if (started.ok()) started = start_ranks();
    if (!started.ok()) {
      say(message_of(started));
      end_others(exit_code_for(started));
    }
    while (any_running()) wait_for_events();
    drain();
    return exit_code_;
  }

 private:
  Status catch_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD})
      sigaddset(&set, number);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    signal(SIGPIPE, SIG_IGN);
    signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals_ < 0) return internal_error("signalfd: ", std::strerror(errno));
    return ok_status();
  }

  Status start_ranks() {
    std::string port = env_or("MASTER_PORT", "");
    if (port.empty()) {
      TITAN_ASSIGN_OR_RETURN(const int found, free_port());
      port = std::to_string(found);
    }
    const std::string ranks = std::to_string(num_ranks_);
    const bool one_shown = count_shown(num_ranks_) == 1;
    for (int r = 0; r < num_ranks_; ++r) {
      RankStart start;
      start.rank = r;
      start.arguments = arguments_;
      start.environment = {
          {"RANK", std::to_string(r)},
          {"LOCAL_RANK", std::to_string(r)},
          {"WORLD_SIZE", ranks},
          {"LOCAL_WORLD_SIZE", ranks},
          {"MASTER_ADDR", "127.0.0.1"},
          {"MASTER_PORT", port},
          {"OMP_NUM_THREADS",
           env_or("OMP_NUM_THREADS", std::to_string(parallel::threads_per_rank(num_ranks_)))},
          {kLauncherPid, std::to_string(getpid())}};
      start.show_all = log_rank_selected(r);
      const bool direct = start.show_all && one_shown;
      start.inherit_stdout = direct && isatty(STDOUT_FILENO) == 1;
      start.inherit_stderr = direct && isatty(STDERR_FILENO) == 1;
      TITAN_ASSIGN_OR_RETURN(std::unique_ptr<RankProcess> process, RankProcess::start(start));
      ranks_.push_back(std::move(process));
    }
    return ok_status();
  }

  bool any_running() const {
    for (const auto& rank : ranks_) {
      if (rank->running()) return true;
    }
    return false;
  }

  void wait_for_events() {
    int timeout_ms = -1;
    if (kill_at_ != Clock::time_point::max()) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(kill_at_ - Clock::now());
      timeout_ms = std::max(0, static_cast<int>(left.count()) + 1);
    }
    poll_once(timeout_ms);
    handle_signals();
    for (const auto& rank : ranks_) {
      if (rank->reap()) note_end(*rank);
    }
    if (Clock::now() >= kill_at_) {
      for (const auto& rank : ranks_) {
        if (rank->running()) say(str_cat("rank ", rank->rank(), " does not end: killing it"));
        rank->send(SIGKILL);
      }
      kill_at_ = Clock::time_point::max();
    }
  }

  /// Waits for output or signals; forwards output. True while a pipe is open.
  bool poll_once(int timeout_ms) {
    std::vector<pollfd> waits{{.fd = signals_, .events = POLLIN, .revents = 0}};
    std::vector<RankPipe*> pipes;
    for (const auto& rank : ranks_) {
      for (RankPipe& pipe : rank->pipes()) {
        if (pipe.read_end < 0) continue;
        waits.push_back({.fd = pipe.read_end, .events = POLLIN, .revents = 0});
        pipes.push_back(&pipe);
      }
    }
    if (poll(waits.data(), waits.size(), timeout_ms) <= 0) return !pipes.empty();
    for (std::size_t i = 0; i < pipes.size(); ++i) {
      if (waits[i + 1].revents != 0) RankProcess::forward(*pipes[i]);
    }
    return !pipes.empty();
  }

  void handle_signals() {
    signalfd_siginfo info;
    while (read(signals_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
      const int number = static_cast<int>(info.ssi_signo);
      if (number == SIGCHLD) continue;
      // A lost terminal is a wish to stop like any other; ranks know only those of signals.h.
      for (const auto& rank : ranks_) rank->send(number == SIGHUP ? SIGTERM : number);
    }
  }

  void note_end(RankProcess& rank) {
    const int code = rank.exit_code();
    if (code == 0 && rank.killed_by() == 0) return;
    if (code == kStoppedBySignal && rank.killed_by() == 0) {
      if (exit_code_ == 0) exit_code_ = kStoppedBySignal;
      return;
    }
    if (failed_) return;
    for (RankPipe& pipe : rank.pipes()) {  // what it said last
      while (pipe.read_end >= 0 && readable(pipe.read_end) && RankProcess::forward(pipe)) {
      }
    }
    for (const std::string& line : rank.hidden().lines()) {
      write_fully(STDERR_FILENO, str_cat("[rank ", rank.rank(), "] ", line, "\n"));
    }
    say(rank.killed_by() != 0 ? str_cat("rank ", rank.rank(), " was killed by signal ",
                                        rank.killed_by(), " (", strsignal(rank.killed_by()), ")")
                              : str_cat("rank ", rank.rank(), " failed with exit code ", code));
    end_others(code);
  }

  static bool readable(int descriptor) {
    pollfd wait{.fd = descriptor, .events = POLLIN, .revents = 0};
    return poll(&wait, 1, 0) == 1;
  }

  void end_others(int code) {
    failed_ = true;
    exit_code_ = code;
    for (const auto& rank : ranks_) rank->send(SIGTERM);
    kill_at_ = Clock::now() + kGrace;
  }

  void drain() {
    const auto until = Clock::now() + kDrain;
    while (Clock::now() < until && poll_once(50)) {
    }
  }

  std::vector<std::string> arguments_;
  int num_ranks_;
  int signals_ = -1;
  std::vector<std::unique_ptr<RankProcess>> ranks_;
  bool failed_ = false;
  int exit_code_ = 0;
  Clock::time_point kill_at_ = Clock::time_point::max();
};

}  // namespace

std::optional<int> launch_ranks_if_asked(int argc, char** argv) {
  if (env_set("RANK") || env_set("WORLD_SIZE") ||
      (env_set("SLURM_STEP_ID") && env_set("SLURM_PROCID"))) {
    follow_launcher();
    return std::nullopt;
  }
  const StatusOr<int> ranks = asked_ranks();
  if (!ranks.ok()) {
    say(message_of(ranks.status()));
    return exit_code_for(ranks.status());
  }
  if (*ranks == 1) return std::nullopt;
  return LocalJob(argc, argv, *ranks).run();
}

}  // namespace titan
