#include "titan/train/local_job.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "titan/base/environment.h"
#include "titan/base/rank_env.h"
#include "titan/parallel/cpu_share.h"

namespace titan {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kGrace{10};  // from SIGTERM to SIGKILL
constexpr std::chrono::seconds kDrain{2};  // for output of a rank's own children after it has ended
constexpr int kStoppedBySignal = 3;        // a rank's exit code that is no failure

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

bool readable(int descriptor) {
  pollfd wait{.fd = descriptor, .events = POLLIN, .revents = 0};
  return poll(&wait, 1, 0) == 1;
}

}  // namespace

void say_as_launcher(const std::string& text) {
  write_fully(STDERR_FILENO, "[launcher] " + text + "\n");
}

StatusOr<LauncherSignals> LauncherSignals::open() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD})
    sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  const int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (descriptor < 0) return internal_error("signalfd: ", std::strerror(errno));
  return LauncherSignals(descriptor);
}

LauncherSignals::LauncherSignals(LauncherSignals&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

LauncherSignals::~LauncherSignals() {
  if (descriptor_ >= 0) close(descriptor_);
}

LocalJob::LocalJob(const LauncherSignals& signals, std::vector<std::string> arguments,
                   int num_ranks, std::map<std::string, std::string> environment)
    : signals_(signals),
      arguments_(std::move(arguments)),
      num_ranks_(num_ranks),
      environment_(std::move(environment)) {}

LocalJobEnd LocalJob::run() {
  if (const Status started = start_ranks(); !started.ok()) {
    say_as_launcher(message_of(started));
    end_others(exit_code_for(started), message_of(started));
  }
  while (any_running()) wait_for_events();
  drain();
  return end_;
}

Status LocalJob::start_ranks() {
  std::string port = environment("MASTER_PORT").value_or("");
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
        {"OMP_NUM_THREADS", environment("OMP_NUM_THREADS")
                                .value_or(std::to_string(parallel::threads_per_rank(num_ranks_)))}};
    start.environment.insert(environment_.begin(), environment_.end());
    start.show_all = log_rank_selected(r);
    const bool direct = start.show_all && one_shown;
    start.inherit_stdout = direct && isatty(STDOUT_FILENO) == 1;
    start.inherit_stderr = direct && isatty(STDERR_FILENO) == 1;
    TITAN_ASSIGN_OR_RETURN(std::unique_ptr<RankProcess> process, RankProcess::start(start));
    ranks_.push_back(std::move(process));
  }
  return ok_status();
}

bool LocalJob::any_running() const {
  return std::any_of(ranks_.begin(), ranks_.end(),
                     [](const auto& rank) { return rank->running(); });
}

void LocalJob::wait_for_events() {
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
      if (rank->running())
        say_as_launcher(str_cat("rank ", rank->rank(), " does not end: killing it"));
      rank->send(SIGKILL);
    }
    kill_at_ = Clock::time_point::max();
  }
}

/// Waits for output or signals; forwards output. True while a pipe is open.
bool LocalJob::poll_once(int timeout_ms) {
  std::vector<pollfd> waits{{.fd = signals_.descriptor(), .events = POLLIN, .revents = 0}};
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

void LocalJob::handle_signals() {
  signalfd_siginfo info;
  while (read(signals_.descriptor(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    const int number = static_cast<int>(info.ssi_signo);
    if (number == SIGCHLD) continue;
    if (number != SIGUSR2) end_.signalled = true;
    // A lost terminal is a wish to stop like any other; ranks know only those of signals.h.
    for (const auto& rank : ranks_) rank->send(number == SIGHUP ? SIGTERM : number);
  }
}

void LocalJob::note_end(RankProcess& rank) {
  const int code = rank.exit_code();
  if (code == 0 && rank.killed_by() == 0) return;
  if (code == kStoppedBySignal && rank.killed_by() == 0) {
    if (end_.exit_code == 0) end_.exit_code = kStoppedBySignal;
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
  const std::string cause = rank.killed_by() != 0
                                ? str_cat("rank ", rank.rank(), " was killed by signal ",
                                          rank.killed_by(), " (", strsignal(rank.killed_by()), ")")
                                : str_cat("rank ", rank.rank(), " failed with exit code ", code);
  say_as_launcher(cause);
  end_others(code, cause);
}

void LocalJob::end_others(int code, const std::string& cause) {
  failed_ = true;
  end_.exit_code = code;
  end_.cause = cause;
  for (const auto& rank : ranks_) {
    rank->send(SIGTERM);
    rank->send(SIGCONT);  // one that is stopped would hear nothing before it is killed
  }
  kill_at_ = Clock::now() + kGrace;
}

void LocalJob::drain() {
  const auto until = Clock::now() + kDrain;
  while (Clock::now() < until && poll_once(50)) {
  }
}

}  // namespace titan
