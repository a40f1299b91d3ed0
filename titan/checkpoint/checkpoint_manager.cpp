#include "titan/checkpoint/checkpoint_manager.h"

#include <algorithm>
#include <filesystem>

#include "titan/base/log.h"
#include "titan/checkpoint/fragment_writer.h"
#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"

namespace titan::checkpoint {

StatusOr<CheckpointManager> CheckpointManager::open(CheckpointManagerOptions options) {
  CheckpointManager manager(std::move(options));
  if (manager.options_.rank == 0) TITAN_RETURN_IF_ERROR(manager.folder_.prepare());
  return manager;
}

StatusOr<std::optional<int64_t>> CheckpointManager::latest_step() const {
  TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, folder_.steps());
  if (steps.empty()) return std::optional<int64_t>();
  return std::optional<int64_t>(steps.back());
}

Status CheckpointManager::save(const CheckpointMeta& meta,
                               const std::vector<CheckpointItem>& items) const {
  const Status status = write(meta, items);
  if (status.ok()) return options_.rank == 0 ? tidy(meta.step) : status;
  if (options_.rank == 0) {
    std::error_code ignored;
    std::filesystem::remove_all(folder_.temporary_path(meta.step), ignored);
  }
  return annotate(status, str_cat("[checkpoint] step ", meta.step,
                                  " was not saved, older checkpoints are untouched"));
}

Status CheckpointManager::write(const CheckpointMeta& meta,
                                const std::vector<CheckpointItem>& items) const {
  const std::string folder = folder_.temporary_path(meta.step);
  const bool first = options_.rank == 0;
  Status made = ok_status();
  if (first) {
    std::error_code error;
    std::filesystem::remove_all(folder, error);
    std::filesystem::create_directories(folder, error);
    if (error) made = errno_status(error.value(), "make folder", folder);
  }
  TITAN_RETURN_IF_ERROR(agree(made));

  // Every rank reports what it wrote, in the form of an index of its own; an empty text is a
  // failure.
  const StatusOr<CheckpointIndex> mine =
      write_fragments(folder, rank_file_name(options_.rank), items);
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> reports,
                         exchange(mine.ok() ? to_json(*mine) : ""));
  // No rank leaves before the last exchange: the others would wait for it.
  Status published = mine.status();
  if (first && mine.ok()) {
    published = [&]() -> Status {
      CheckpointIndex index;
      for (std::size_t rank = 0; rank < reports.size(); ++rank) {
        if (reports[rank].empty())
          return internal_error("[checkpoint] rank ", rank, " could not write its part");
        TITAN_ASSIGN_OR_RETURN(const CheckpointIndex part,
                               index_from_json(reports[rank], str_cat("report of rank ", rank)));
        TITAN_RETURN_IF_ERROR(index.merge(part));
      }
      index.meta = meta;
      TITAN_RETURN_IF_ERROR(index.normalize());
      TITAN_RETURN_IF_ERROR(write_file_atomically(folder + "/index.json", to_json(index)));
      return folder_.publish(meta.step);
    }();
  }
  const Status agreed = agree(published);
  return mine.ok() ? agreed : mine.status();
}

StatusOr<std::vector<std::string>> CheckpointManager::exchange(const std::string& text) const {
  if (!options_.exchange) return std::vector<std::string>{text};
  return options_.exchange(text);
}

/// The first rank's result, on all ranks.
Status CheckpointManager::agree(const Status& mine) const {
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> results,
                         exchange(mine.ok() ? "" : message_of(mine)));
  if (!mine.ok() || results.front().empty()) return mine;
  return internal_error(results.front());
}

// The new checkpoint stands; failing to remove an old one is worth a warning, not the run.
Status CheckpointManager::tidy(int64_t newest) const {
  TITAN_ASSIGN_OR_RETURN(std::vector<int64_t> steps, folder_.steps());
  while (!steps.empty() && steps.back() > newest) {
    TITAN_LOG(WARNING)
        << "[checkpoint] step " << steps.back()
        << " belongs to a course of this run that was given up: hidden as .abandoned-"
        << step_folder_name(steps.back());
    TITAN_RETURN_IF_ERROR(folder_.abandon(steps.back()));
    steps.pop_back();
  }
  if (options_.keep_latest_k <= 0) return ok_status();
  while (static_cast<int64_t>(steps.size()) > options_.keep_latest_k) {
    const Status removed = folder_.remove(steps.front());
    if (!removed.ok())
      TITAN_LOG(WARNING) << "[checkpoint] an old checkpoint stays: " << message_of(removed);
    steps.erase(steps.begin());
  }
  return ok_status();
}

StatusOr<CheckpointReader> CheckpointManager::open_step(int64_t step) const {
  TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, folder_.steps());
  if (steps.empty()) return not_found("[checkpoint] there is no checkpoint in ", folder_.path());
  if (step < 0) step = steps.back();
  if (!std::binary_search(steps.begin(), steps.end(), step)) {
    std::string known;
    for (const int64_t other : steps) known += str_cat(known.empty() ? "" : ", ", other);
    return not_found("[checkpoint] there is no checkpoint of step ", step, " in ", folder_.path(),
                     " (--checkpoint.load_step can be ", known, ")");
  }
  StatusOr<CheckpointReader> reader = CheckpointReader::open(folder_.step_path(step));
  if (!reader.ok()) return with_advice(reader.status(), step);
  return reader;
}

StatusOr<CheckpointMeta> CheckpointManager::load(const std::vector<CheckpointItem>& items,
                                                 int64_t step) const {
  TITAN_ASSIGN_OR_RETURN(const CheckpointReader reader, open_step(step));
  const Status loaded = reader.load(items);
  if (!loaded.ok()) return with_advice(loaded, reader.meta().step);
  return reader.meta();
}

/// Damage (a bad or missing file): says which older checkpoint is whole. Other errors pass as they
/// are.
Status CheckpointManager::with_advice(const Status& error, int64_t step) const {
  const bool damaged =
      error.code() == absl::StatusCode::kDataLoss || error.code() == absl::StatusCode::kNotFound;
  if (!damaged) return error;
  StatusOr<std::vector<int64_t>> steps = folder_.steps();
  if (!steps.ok()) return error;
  for (auto other = steps->rbegin(); other != steps->rend(); ++other) {
    if (*other >= step) continue;
    const StatusOr<CheckpointReader> reader = CheckpointReader::open(folder_.step_path(*other));
    if (!reader.ok() || !reader->verify().ok()) continue;
    return data_loss(message_of(error),
                     ". An older checkpoint is whole: --checkpoint.load_step=", *other);
  }
  return data_loss(message_of(error), ". No older checkpoint is whole");
}

}  // namespace titan::checkpoint
