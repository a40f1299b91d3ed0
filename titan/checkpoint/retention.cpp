#include "titan/checkpoint/retention.h"

#include <string>
#include <vector>

#include "titan/base/log.h"
#include "titan/checkpoint/checkpoint_reader.h"

namespace titan::checkpoint {

Status keep_latest(const CheckpointFolder& folder, int64_t newest, int64_t keep) {
  TITAN_ASSIGN_OR_RETURN(std::vector<int64_t> steps, folder.steps());
  while (!steps.empty() && steps.back() > newest) {
    TITAN_LOG(WARNING)
        << "[checkpoint] step " << steps.back()
        << " belongs to a course of this run that was given up: hidden as .abandoned-"
        << step_folder_name(steps.back());
    TITAN_RETURN_IF_ERROR(folder.abandon(steps.back()));
    steps.pop_back();
  }
  if (keep <= 0) return ok_status();
  while (static_cast<int64_t>(steps.size()) > keep) {
    const Status removed = folder.remove(steps.front());
    if (!removed.ok())
      TITAN_LOG(WARNING) << "[checkpoint] an old checkpoint stays: " << message_of(removed);
    steps.erase(steps.begin());
  }
  return ok_status();
}

bool damaged(const Status& error) {
  return error.code() == absl::StatusCode::kDataLoss || error.code() == absl::StatusCode::kNotFound;
}

Status advise_older(const CheckpointFolder& folder, const Status& error, int64_t step,
                    int threads) {
  const StatusOr<std::vector<int64_t>> steps = folder.steps();
  if (!steps.ok()) return error;
  for (auto other = steps->rbegin(); other != steps->rend(); ++other) {
    if (*other >= step) continue;
    const StatusOr<CheckpointReader> reader = CheckpointReader::open(folder.step_path(*other));
    if (!reader.ok() || !reader->verify(threads).ok()) continue;
    return data_loss(message_of(error),
                     ". An older checkpoint is whole: --checkpoint.load_step=", *other);
  }
  return data_loss(message_of(error), ". No older checkpoint is whole");
}

}  // namespace titan::checkpoint
