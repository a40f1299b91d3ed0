#include "titan/train/rank_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <utility>

extern char** environ;

namespace titan {
namespace {

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!added.contains(text.substr(0, text.find('=')))) result.push_back(text);
  }
  for (const auto& [name, value] : added) result.push_back(name + "=" + value);
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

/// posix_spawn's two attribute objects, freed together.
struct SpawnSettings {
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    // The launcher blocks the signals it waits for; a rank starts with a clean slate.
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

}  // namespace

void write_fully(int target, const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = write(target, text.data() + done, text.size() - done);
    if (written > 0) {
      done += static_cast<std::size_t>(written);
    } else if (written < 0 && errno != EINTR && errno != EAGAIN) {
      return;  // our reader is gone: the ranks' work is not lost for that
    }
  }
}

StatusOr<std::unique_ptr<RankProcess>> RankProcess::start(const RankStart& start) {
  std::unique_ptr<RankProcess> process(new RankProcess(start.rank));
  SpawnSettings settings;
  std::vector<int> write_ends;
  for (const auto& [target, inherit] : {std::pair{STDOUT_FILENO, start.inherit_stdout},
                                        std::pair{STDERR_FILENO, start.inherit_stderr}}) {
    if (inherit) continue;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
      for (const int end : write_ends) close(end);
      return internal_error("[launcher] no pipe for rank ", start.rank, ": ", std::strerror(errno));
    }
    write_ends.push_back(ends[1]);
    posix_spawn_file_actions_adddup2(&settings.actions, ends[1], target);
    process->pipes_.push_back({.read_end = ends[0],
                               .target = target,
                               .output = RankOutput(start.rank, start.show_all, process->hidden_)});
  }
  std::vector<std::string> arguments = start.arguments;
  std::vector<std::string> environment = merged_environment(start.environment);
  const int error =
      posix_spawn(&process->pid_, "/proc/self/exe", &settings.actions, &settings.attributes,
                  pointers(arguments).data(), pointers(environment).data());
  for (const int end : write_ends) close(end);
  if (error != 0) {
    return internal_error("[launcher] rank ", start.rank,
                          " could not be started: ", std::strerror(error));
  }
  process->running_ = true;
  return process;
}

RankProcess::~RankProcess() {
  for (const RankPipe& pipe : pipes_) {
    if (pipe.read_end >= 0) close(pipe.read_end);
  }
}

bool RankProcess::reap() {
  if (!running_ || waitpid(pid_, &wait_status_, WNOHANG) != pid_) return false;
  running_ = false;
  return true;
}

int RankProcess::exit_code() const {
  return WIFEXITED(wait_status_) ? WEXITSTATUS(wait_status_) : 1;
}

int RankProcess::killed_by() const {
  return WIFSIGNALED(wait_status_) ? WTERMSIG(wait_status_) : 0;
}

void RankProcess::send(int signal) const {
  if (running_) kill(pid_, signal);
}

bool RankProcess::forward(RankPipe& pipe) {
  char buffer[1 << 14];
  const ssize_t size = read(pipe.read_end, buffer, sizeof(buffer));
  if (size > 0) {
    write_fully(pipe.target, pipe.output.take(buffer, static_cast<std::size_t>(size)));
    return true;
  }
  if (size < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  write_fully(pipe.target, pipe.output.finish());
  close(pipe.read_end);
  pipe.read_end = -1;
  return false;
}

}  // namespace titan
