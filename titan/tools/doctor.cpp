#include "titan/tools/doctor.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "titan/base/argument_vector.h"
#include "titan/base/outcome.h"
#include "titan/parallel/cuda_library.h"
#include "titan/parallel/libtorch_log.h"
#include "titan/tools/doctor/examination.h"
#include "titan/tools/doctor/request.h"
#include "titan/train/launcher.h"

namespace titan {
namespace {

constexpr const char* kHelp =
    "titan doctor [--config NAME] [--json FILE] [--section.key=value ...]\n"
    "Looks at versions, devices, host, clocks, disks and the links between ranks, and at a job's\n"
    "settings, data, memory and checkpoints against each other. Prints one page: ok, warn, FAIL,\n"
    "each with what to do. NGPU=N or srun starts the ranks; links are then measured between all.\n"
    "  --config NAME   the job, as train's; without one the machine alone\n"
    "  --json FILE     the same for machines\n"
    "Exit codes: 0 nothing failed, 1 something did, 2 bad arguments. docs/doctor.md\n";

int run_rank(const doctor::Request& request) {
  parallel::quiet_libtorch();
  parallel::load_cuda_library();  // before any ATen call: LibTorch looks its CUDA hooks up once
  const StatusOr<RankEnv> rank = rank_env_from_environment();
  if (!rank.ok()) return exit_with(rank.status());
  configure_logging(
      {.rank = rank->rank, .world_size = rank->world_size, .show_info = false, .verbosity = 0});
  doctor::Examination examination(request, *rank);
  const int code = examination.run();
  // Local ranks leave their code on the page: the launcher would take it for a crash.
  return std::getenv(doctor::kPageFile) != nullptr ? 0 : code;
}

/// This process is the launcher of local ranks: it prints the page that they leave.
std::optional<int> launch_ranks(const std::vector<std::string>& args) {
  std::string file = (std::filesystem::temp_directory_path() / "titan-doctor-XXXXXX").string();
  const int descriptor = mkstemp(file.data());
  if (descriptor >= 0) ::close(descriptor);
  setenv(doctor::kPageFile, file.c_str(), 1);
  ArgumentVector words("doctor", args);
  const std::optional<int> launched = launch_ranks_if_asked(words.count(), words.data());
  unsetenv(doctor::kPageFile);
  std::ifstream page(file);
  int code = 1;
  if (launched && page >> code) {
    page.ignore();
    std::fputs(std::string(std::istreambuf_iterator<char>(page), {}).c_str(), stdout);
    code = std::max(code, *launched == 0 ? 0 : 1);
  } else if (launched) {
    code = *launched;
  }
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
  return launched ? std::optional(code) : std::nullopt;
}

}  // namespace

int doctor_main(const std::vector<std::string>& args) {
  const StatusOr<doctor::Request> request = doctor::read_request(args);
  if (!request.ok()) return exit_with(request.status());
  if (request->help) {
    std::fputs(kHelp, stdout);
    return 0;
  }
  if (std::getenv(doctor::kPageFile) == nullptr) {
    if (const std::optional<int> code = launch_ranks(args)) return *code;
  } else {
    (void)launch_ranks_if_asked(0, nullptr);  // a rank that ends with its launcher
  }
  return run_rank(*request);
}

}  // namespace titan
