// What a training program does at its start, and then what the test asks for: launcher_program MODE
// [arguments].
#include <unistd.h>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "titan/train/launcher.h"
#include "titan/train/restart_note.h"
#include "titan/train/signals.h"

namespace {

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

/// Works until a signal asks for the end, as the trainer does.
int work_until_signal(int last_word_ms) {
  titan::install_signal_handlers();
  std::printf("working, pid %d\n", static_cast<int>(getpid()));
  std::fflush(stdout);
  while (titan::requested_signal() == 0) sleep_ms(5);
  std::printf("stopping for signal %d\n", titan::requested_signal());
  std::fflush(stdout);
  sleep_ms(last_word_ms);
  return 3;
}

}  // namespace

int main(int argc, char** argv) {
  // Passed on to the ranks by exec, so that there is no moment in which they would listen.
  if (argc > 1 && std::string(argv[1]) == "kill") std::signal(SIGTERM, SIG_IGN);
  if (const auto code = titan::launch_ranks_if_asked(argc, argv)) return *code;
  const std::string mode = argc > 1 ? argv[1] : "";
  const std::string rank = env("RANK");
  if (mode == "environment") {
    std::printf(
        "RANK=%s LOCAL_RANK=%s WORLD_SIZE=%s LOCAL_WORLD_SIZE=%s MASTER_ADDR=%s PORT_SET=%d OMP=%s "
        "last=%s\n",
        rank.c_str(), env("LOCAL_RANK").c_str(), env("WORLD_SIZE").c_str(),
        env("LOCAL_WORLD_SIZE").c_str(), env("MASTER_ADDR").c_str(),
        env("MASTER_PORT").empty() ? 0 : 1, env("OMP_NUM_THREADS").c_str(), argv[argc - 1]);
    std::fprintf(stderr, "W20260101 00:00:00.000000 1 x.cpp:1] warning of %s\n", rank.c_str());
    return 0;
  }
  if (mode == "port") {
    std::printf("port %s\n", env("MASTER_PORT").c_str());
    return 0;
  }
  if (mode == "fail") {  // fail RANK CODE: that rank fails, the others wait
    if (rank != argv[2]) return work_until_signal(0);
    std::printf("the last words of rank %s\n", rank.c_str());
    return std::atoi(argv[3]);
  }
  if (mode == "attempts") {  // attempts STEP... : what each attempt marks before it fails; 0 = done
    const int number = titan::restart_note().number;
    const int step = number + 2 < argc ? std::atoi(argv[number + 2]) : 0;
    std::printf("attempt %d after \"%s\", port %s\n", number, titan::restart_note().cause.c_str(),
                env("MASTER_PORT").c_str());
    titan::StepMark::write(step);
    return step == 0 ? 0 : 1;
  }
  if (mode == "kill") {  // rank 1 is killed, rank 0 does not listen to SIGTERM
    if (rank == "1") raise(SIGKILL);
    for (;;) sleep_ms(1000);
  }
  if (mode == "work") return work_until_signal(0);
  if (mode == "linger") return work_until_signal(60000);
  return 0;
}
