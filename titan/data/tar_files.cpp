#include "titan/data/tar_files.h"

#include <glob.h>
#include <algorithm>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "titan/base/log.h"
#include "titan/config/job_config.h"
#include "titan/data/dataset_path.h"
#include "titan/data/sample_parts.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string>& tar_endings() {
  static const std::vector<std::string> endings = {".tar",    ".tar.gz",  ".tgz",
                                                   ".tar.xz", ".tar.zst", ".tar.bz2"};
  return endings;
}

StatusOr<std::vector<TarIndex>> open_indexes(const std::vector<fs::path>& paths,
                                             int64_t num_threads) {
  std::vector<TarIndex> tars(paths.size());
  std::vector<Status> problems(paths.size());
  std::mutex mutex;
  std::size_t next = 0;
  const auto work = [&] {
    for (;;) {
      std::size_t mine = 0;
      {
        const std::lock_guard<std::mutex> lock(mutex);
        if (next == paths.size()) return;
        mine = next++;
      }
      StatusOr<TarIndex> tar = TarIndex::open(paths[mine].string());
      problems[mine] = tar.status();
      if (tar.ok()) tars[mine] = *std::move(tar);
    }
  };
  {
    const auto wanted = std::min(paths.size(), static_cast<std::size_t>(num_threads));
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < wanted; ++i) threads.emplace_back(work);
    work();
  }
  for (const Status& problem : problems) TITAN_RETURN_IF_ERROR(problem);
  return tars;
}

}  // namespace

StatusOr<std::vector<fs::path>> tar_paths(const JobConfig& config) {
  const std::string& name = config.training.dataset;
  const std::string pattern = wanted_dataset_path(config);
  std::error_code ignored;
  if (!fs::exists(pattern, ignored) && pattern.find_first_of("*?[") != std::string::npos) {
    glob_t found{};
    const int result = ::glob(pattern.c_str(), GLOB_TILDE, nullptr, &found);
    std::vector<fs::path> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);  // glob sorts
    ::globfree(&found);
    if (result != 0 || paths.empty())
      return not_found("[", name, "] no file fits training.dataset_path (", pattern, ")");
    return paths;
  }
  TITAN_ASSIGN_OR_RETURN(const fs::path path, dataset_path(config));
  if (!fs::is_directory(path, ignored)) return std::vector<fs::path>{path};
  TITAN_ASSIGN_OR_RETURN(std::vector<fs::path> paths, files_ending_in(path, tar_endings()));
  if (paths.empty()) return not_found("[", name, "] no tars in ", path.string());
  return paths;
}

StatusOr<std::vector<TarIndex>> open_tars(const std::vector<fs::path>& paths, int64_t num_threads,
                                          const std::string& speaker) {
  TITAN_ASSIGN_OR_RETURN(std::vector<TarIndex> tars, open_indexes(paths, num_threads));
  int64_t num_samples = 0;
  for (const TarIndex& tar : tars) {
    num_samples += tar.num_samples();
    if (const std::string damage = tar.damage(); !damage.empty())
      TITAN_LOG(WARNING) << damage << "; the " << tar.num_samples()
                         << " samples up to there are used";
  }
  if (num_samples == 0)
    return invalid_argument("[", speaker, "] no samples in ", paths.front().string(),
                            paths.size() == 1 ? "" : str_cat(" and ", paths.size() - 1, " more"));
  return tars;
}

}  // namespace titan
