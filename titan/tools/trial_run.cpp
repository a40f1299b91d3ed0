#include "titan/tools/trial_run.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

namespace titan {
namespace {

namespace fs = std::filesystem;

/// Parent of a process, -1 where it is gone.
pid_t parent_of(pid_t pid) {
  std::string text;
  std::getline(std::ifstream(str_cat("/proc/", pid, "/stat")), text);
  const std::size_t name_end = text.rfind(')');  // names may hold anything
  if (name_end == std::string::npos) return -1;
  std::istringstream rest(text.substr(name_end + 1));
  std::string state;
  pid_t parent = -1;
  rest >> state >> parent;
  return parent;
}

/// The process and all that came of it: ranks have process groups of their own.
std::set<pid_t> family_of(pid_t root) {
  std::set<pid_t> family = {root};
  for (bool grown = true; grown;) {
    grown = false;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/proc", error)) {
      const std::string name = entry.path().filename().string();
      pid_t pid = -1;
      const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
      if (parsed.ptr != name.data() + name.size() || pid <= 0) continue;
      if (family.contains(parent_of(pid)) && family.insert(pid).second) grown = true;
    }
  }
  return family;
}

std::string last_lines(const std::string& path) {
  constexpr std::size_t kShown = 1500;
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return text.size() <= kShown ? text : "..." + text.substr(text.size() - kShown);
}

}  // namespace

std::string train_program() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / "train").string();
}

StatusOr<TrialRun> TrialRun::start(const std::vector<std::string>& arguments, int64_t world,
                                   const std::string& log_path) {
  const int log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (log < 0) return internal_error("[verify-resume] cannot write ", log_path);
  std::vector<std::string> words = {train_program()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string ranks = std::to_string(world);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setsid();
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::setenv("NGPU", ranks.c_str(), 1);
    for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"})
      ::unsetenv(name);
    ::execv(argv[0], argv.data());
    _exit(127);
  }
  ::close(log);
  if (pid < 0) return internal_error("[verify-resume] cannot start a process: ", strerror(errno));
  return TrialRun(pid, log_path);
}

TrialRun::TrialRun(TrialRun&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      status_(other.status_),
      log_path_(std::move(other.log_path_)) {}

TrialRun::~TrialRun() {
  if (pid_ > 0) kill_all();
}

bool TrialRun::ended() {
  if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
  return pid_ < 0;
}

void TrialRun::kill_all() {
  if (pid_ < 0) return;
  for (const pid_t pid : family_of(pid_)) ::kill(pid, SIGKILL);
  ::waitpid(pid_, &status_, 0);
  pid_ = -1;
}

Status TrialRun::wait() {
  while (pid_ > 0 && ::waitpid(pid_, &status_, 0) != pid_ && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFEXITED(status_) && WEXITSTATUS(status_) == 0) return ok_status();
  const std::string text =
      str_cat("[verify-resume] train ",
              WIFEXITED(status_) ? str_cat("ended with exit code ", WEXITSTATUS(status_))
                                 : str_cat("was ended by signal ", WTERMSIG(status_)),
              "; its output (", log_path_, ") ends:\n", last_lines(log_path_));
  return WIFEXITED(status_) && WEXITSTATUS(status_) == 2 ? invalid_argument(text)
                                                         : internal_error(text);
}

}  // namespace titan
