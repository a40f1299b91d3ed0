#include "titan/tools/replay_output.h"

#include <filesystem>
#include <system_error>
#include <vector>

#include "titan/io/errno_status.h"
#include "titan/metrics/step_statistics.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

/// Of an earlier replay with more ranks. Ranks count without a gap.
Status remove_ranks_from(const fs::path& folder, int rank) {
  std::error_code error;
  while (fs::remove(folder / metrics::statistics_file_name(rank), error)) ++rank;
  return error
             ? errno_status(error.value(), "remove an earlier replay's file from", folder.string())
             : ok_status();
}

}  // namespace

StatusOr<ReplayOutput> ReplayOutput::open(const std::string& output, const std::string& work) {
  TITAN_ASSIGN_OR_RETURN(RunFolder folder, RunFolder::open(output, "--output"));
  std::error_code error;
  fs::remove_all(work, error);  // of a replay that was killed
  if (!error) fs::create_directories(work, error);
  if (error) return errno_status(error.value(), "make an empty folder", work);
  return ReplayOutput(std::move(folder), work);
}

ReplayOutput::~ReplayOutput() {
  std::error_code ignored;
  if (!work_.empty()) fs::remove_all(work_, ignored);
}

Status ReplayOutput::publish(int world_size) {
  std::error_code error;
  std::vector<fs::path> parts;
  for (fs::directory_iterator it(work_, error), end; !error && it != end; it.increment(error))
    parts.push_back(it->path());
  for (const fs::path& part : parts) {
    const fs::path place = folder_.path() / part.filename();
    if (!error && fs::is_directory(part)) fs::remove_all(place, error);
    if (!error) fs::rename(part, place, error);
  }
  if (error)
    return errno_status(error.value(), "put the replay in its place in", folder_.path().string());
  fs::remove_all(work_, error);
  work_.clear();
  return remove_ranks_from(folder_.path(), world_size);
}

}  // namespace titan
