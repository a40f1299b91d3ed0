#include "titan/train/wandb_sidecar.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/log.h"
#include "titan/base/printable.h"
#include "titan/io/file_descriptor.h"

extern char** environ;

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr int kSidecarSocket = 3;  // in the new process

/// In the source tree, beside a bundle's programs, or in an installation; empty where there is
/// none.
fs::path find_script() {
  std::vector<fs::path> places = {fs::path(TITAN_SOURCE_DIR) / "scripts"};
  std::error_code error;
  const fs::path bin = fs::read_symlink("/proc/self/exe", error).parent_path();
  places.push_back(bin.parent_path() / "scripts");
  places.push_back(bin.parent_path() / "share/titan/scripts");
  for (const fs::path& place : places) {
    const fs::path script = place / "wandb_sidecar.py";
    if (fs::exists(script, error)) return script;
  }
  return {};
}

/// posix_spawn's two attribute objects, freed together.
struct SpawnSettings {
  SpawnSettings(const std::string& log, int socket) {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    // A session of its own: Ctrl-C and a launcher's signals to the group are the run's affair.
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_adddup2(&actions, socket, kSidecarSocket);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    // Else it would keep the run's ports open when the run is long gone.
    posix_spawn_file_actions_addclosefrom_np(&actions, kSidecarSocket + 1);
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

class WandbSidecar : public metrics::MetricsSink {
 public:
  /// `problem`: why there is none.
  WandbSidecar(std::string problem) { warn(problem); }
  WandbSidecar(pid_t pid, FileDescriptor socket, std::string log)
      : pid_(pid), socket_(std::move(socket)), log_(std::move(log)) {}
  ~WandbSidecar() override { look(); }

  void train(const metrics::TrainRecord& /*record*/) override { look(); }
  void eval(const metrics::EvalRecord& /*record*/) override { look(); }
  void event(const metrics::EventRecord& /*record*/) override {}
  void finish() override {
    look();
    finished_ = true;
    if (socket_.is_open()) ::send(socket_.get(), "f", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  }

 private:
  void warn(const std::string& problem) {
    if (std::exchange(warned_, true)) return;
    TITAN_LOG(WARNING) << "[wandb] " << problem;
  }

  /// What the process says, and whether it is still there; two system calls that never wait.
  void look() {
    if (pid_ <= 0) return;
    char text[1024];
    const ssize_t count = ::recv(socket_.get(), text, sizeof text, MSG_DONTWAIT);
    if (count > 0) {
      const std::string words(text, static_cast<std::size_t>(count));
      warn(printable(words.substr(0, words.find('\n')), sizeof text));
    }
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return;
    pid_ = 0;
    socket_ = FileDescriptor();
    if (finished_) return;
    warn(str_cat("the process that sends metrics has ended; training goes on (", log_, ")"));
  }

  pid_t pid_ = 0;
  FileDescriptor socket_;
  std::string log_;
  bool warned_ = false;
  bool finished_ = false;  ///< the process may end now
};

}  // namespace

std::unique_ptr<metrics::MetricsSink> start_wandb_sidecar(const RunFolder& run, bool resumed) {
  const fs::path script = find_script();
  if (script.empty())
    return std::make_unique<WandbSidecar>(
        "scripts/wandb_sidecar.py is not installed beside this "
        "program: nothing is sent");
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return std::make_unique<WandbSidecar>(str_cat("no socket: ", std::strerror(errno)));
  FileDescriptor ours(ends[0]);
  const FileDescriptor theirs(ends[1]);
  const char* named = std::getenv("TITAN_PYTHON");
  const std::string log = (run.path() / "wandb.log").string();
  std::vector<std::string> words = {named != nullptr && *named != '\0' ? named : "python3",
                                    script.string(), run.path().string(), "--trainer",
                                    std::to_string(kSidecarSocket)};
  if (!resumed) words.emplace_back("--fresh");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const SpawnSettings settings(log, theirs.get());
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, words[0].c_str(), &settings.actions, &settings.attributes,
                                   arguments.data(), environ);
  if (error != 0)
    return std::make_unique<WandbSidecar>(
        str_cat("cannot start ", words[0], " (", std::strerror(error),
                "): nothing is sent. It needs Python 3 with wandb: pip install -r "
                "scripts/requirements-wandb.txt"));
  return std::make_unique<WandbSidecar>(pid, std::move(ours), log);
}

}  // namespace titan
