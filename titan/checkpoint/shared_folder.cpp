#include "titan/checkpoint/shared_folder.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <random>
#include <thread>

#include "titan/io/atomic_file.h"

namespace titan::checkpoint {
namespace {

namespace fs = std::filesystem;

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

bool appears(const std::string& path) {
  constexpr int kAttempts = 25;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::error_code ignored;
    if (fs::exists(path, ignored)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return false;
}

}  // namespace

Status check_shared(const std::string& folder, const RankGroup& ranks) {
  if (!ranks.exchange) return ok_status();
  Status written = ok_status();
  std::string name;
  if (ranks.is_first()) {
    std::random_device device;
    name = str_cat(".tmp-probe-", std::hex, device(), device());
    written = write_file_atomically(folder + "/" + name, host_name());
  }
  TITAN_RETURN_IF_ERROR(ranks.agree(written));
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> names, ranks.gather(name));
  const std::string path = folder + "/" + names.front();
  const bool seen = appears(path);
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> blind,
                         ranks.gather(seen ? "" : host_name()));
  if (ranks.is_first()) {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
  std::string list;
  for (std::size_t r = 0; r < blind.size(); ++r)
    if (!blind[r].empty()) list += str_cat(list.empty() ? "" : ", ", "rank ", r, " on ", blind[r]);
  if (list.empty()) return ok_status();
  return failed_precondition("[checkpoint] ", folder,
                             " is not the same folder on all nodes: what rank 0 writes there is "
                             "not seen by ",
                             list,
                             "; job.dump_folder and checkpoint.folder must lie on a file system "
                             "that all nodes share");
}

}  // namespace titan::checkpoint
