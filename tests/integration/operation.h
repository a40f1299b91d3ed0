// operation.h: jobs of two ranks that a test may stop, freeze or kill.
#pragma once

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "titan/io/image_write.h"

#include "tests/integration/training.h"

namespace titan::testing {

inline std::unique_ptr<Process> start_train(
    const std::vector<std::string>& arguments,
    const std::map<std::string, std::string>& environment = {}) {
  std::vector<std::string> command = {kTrainBinary};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return std::make_unique<Process>(command, environment);
}

/// One rank of two, as torchrun would start it.
inline std::unique_ptr<Process> start_rank(int rank, int port,
                                           const std::vector<std::string>& arguments) {
  return start_train(arguments, {{"RANK", std::to_string(rank)},
                                 {"LOCAL_RANK", std::to_string(rank)},
                                 {"WORLD_SIZE", "2"},
                                 {"OMP_NUM_THREADS", "1"},
                                 {"MASTER_ADDR", "127.0.0.1"},
                                 {"MASTER_PORT", std::to_string(port)}});
}

/// The process that a launcher started as rank `rank`; 0 if there is none.
inline pid_t rank_of(const Process& launcher, int rank) {
  std::istringstream children(run({"pgrep", "-P", std::to_string(launcher.pid())}).output);
  const std::string wanted = "RANK=" + std::to_string(rank);
  for (pid_t pid = 0; children >> pid;) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/environ", std::ios::binary);
    for (std::string variable; std::getline(file, variable, '\0');)
      if (variable == wanted) return pid;
  }
  return 0;
}

/// Waits until the run has written so many lines of a kind.
inline bool wait_for_lines(const std::string& run_folder, std::size_t count,
                           const std::string& kind = "train") {
  for (int tries = 0; tries < 1200; ++tries) {
    std::ifstream file(run_folder + "/metrics.jsonl");
    std::size_t found = 0;
    for (std::string line; std::getline(file, line) && !file.eof();)
      found += line.find("\"kind\":\"" + kind + "\"") != std::string::npos ? 1 : 0;
    if (found >= count) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  return false;
}

/// Sixteen pictures in two classes, and the arguments of a job that reads them once every two
/// steps.
inline std::vector<std::string> picture_job(const std::string& run_folder, const std::string& data,
                                            std::vector<std::string> more = {}) {
  for (int i = 0; i < 16; ++i) {
    Image image(16, 16, PixelMode::kRgb);
    std::fill(image.pixels.begin(), image.pixels.end(), static_cast<std::uint8_t>(10 * i));
    const std::string folder = data + (i % 2 == 0 ? "/even" : "/odd");
    std::filesystem::create_directories(folder);
    if (!write_png(folder + "/" + std::to_string(i) + ".png", image).ok())
      throw std::runtime_error("cannot write pictures to " + folder);
  }
  more.insert(more.end(), {"--training.dataset=class_folder", "--training.dataset_path=" + data,
                           "--training.batch_size=4", "--training.steps=1000000",
                           "--checkpoint.interval=1000000"});
  return tiny_job(run_folder, more);
}

/// Seconds since it was made.
class StopWatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace titan::testing
