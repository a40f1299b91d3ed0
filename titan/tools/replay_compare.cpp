#include "titan/tools/replay_compare.h"

#include <cstdio>
#include <filesystem>

#include "titan/metrics/step_statistics.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

}  // namespace

StatusOr<bool> compare_replays(const std::string& a, const std::string& b) {
  bool equal = true;
  for (int rank = 0;; ++rank) {
    const std::string name = metrics::statistics_file_name(rank);
    if (rank > 0 && !fs::exists(fs::path(a) / name) && !fs::exists(fs::path(b) / name))
      return equal;
    TITAN_ASSIGN_OR_RETURN(const auto left,
                           metrics::read_statistics((fs::path(a) / name).string()));
    TITAN_ASSIGN_OR_RETURN(const auto right,
                           metrics::read_statistics((fs::path(b) / name).string()));
    TITAN_ASSIGN_OR_RETURN(const auto difference, metrics::compare_statistics(left, right));
    equal = equal && !difference.first;
    std::printf("rank %d: %s", rank, metrics::difference_text(left, right, difference).c_str());
    std::fflush(stdout);
  }
}

Status check_comparable(const ReplayRequest& request, int world_size) {
  if (request.against.empty()) return ok_status();
  for (int rank = 0; rank < world_size; ++rank) {
    const fs::path file = fs::path(request.against) / metrics::statistics_file_name(rank);
    TITAN_ASSIGN_OR_RETURN(const auto there, metrics::read_statistics(file.string()));
    metrics::StepStatistics to_come;
    to_come.step = request.step;
    to_come.rank = rank;
    to_come.world_size = world_size;
    to_come.sample = request.sample;
    TITAN_RETURN_IF_ERROR(metrics::check_same_step(there, to_come));
  }
  return ok_status();
}

}  // namespace titan
