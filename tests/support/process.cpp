#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <stdexcept>

extern char** environ;

namespace titan::testing {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& changes) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (changes.count(text.substr(0, text.find('='))) == 0) merged.push_back(text);
  }
  for (const auto& [name, value] : changes)
    if (!value.empty()) merged.push_back(name + "=" + value);
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

Process::Process(const std::vector<std::string>& command,
                 const std::map<std::string, std::string>& environment,
                 const std::string& working_directory) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
  if (!working_directory.empty())
    posix_spawn_file_actions_addchdir_np(&actions, working_directory.c_str());
  std::vector<std::string> arguments = command;
  std::vector<std::string> variables = merged_environment(environment);
  const int error = posix_spawnp(&pid_, command.front().c_str(), &actions, nullptr,
                                 pointers(arguments).data(), pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  pipe_ = ends[0];
  if (error != 0) throw std::runtime_error("cannot start " + command.front());
}

Process::~Process() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (pipe_ >= 0) close(pipe_);
}

void Process::signal(int number) const { kill(pid_, number); }

bool Process::read_some(int timeout_ms) {
  pollfd descriptor{pipe_, POLLIN, 0};
  if (poll(&descriptor, 1, timeout_ms) <= 0) return true;
  char buffer[4096];
  const ssize_t count = read(pipe_, buffer, sizeof buffer);
  if (count <= 0) return false;
  output_.append(buffer, static_cast<std::size_t>(count));
  return true;
}

bool Process::wait_for_output(const std::string& text, double timeout_s) {
  const auto start = Clock::now();
  while (output_.find(text) == std::string::npos) {
    if (seconds_since(start) > timeout_s || !read_some(50))
      return output_.find(text) != std::string::npos;
  }
  return true;
}

ProcessResult Process::wait(double timeout_s) {
  const auto start = Clock::now();
  bool open = true;
  int status = 0;
  for (;;) {
    if (open) open = read_some(20);
    const pid_t ended = waitpid(pid_, &status, WNOHANG);
    if (ended == pid_) break;
    if (!open) usleep(2000);
    if (seconds_since(start) > timeout_s) kill(pid_, SIGKILL);
  }
  pid_ = -1;
  // What is still in the pipe; a grandchild that keeps it open must not hold the test.
  for (int i = 0; open && i < 10000; ++i) {
    const std::size_t before = output_.size();
    open = read_some(0);
    if (output_.size() == before) break;
  }
  ProcessResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.output = output_;
  return result;
}

ProcessResult run(const std::vector<std::string>& command,
                  const std::map<std::string, std::string>& environment, double timeout_s) {
  Process process(command, environment);
  return process.wait(timeout_s);
}

}  // namespace titan::testing
