#include "titan/checkpoint/pending_save.h"

#include <array>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "titan/base/log.h"
#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"

namespace titan::checkpoint {
namespace {

namespace fs = std::filesystem;

Status make_empty_folder(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  fs::create_directories(path, error);
  return error ? errno_status(error.value(), "make folder", path) : ok_status();
}

}  // namespace

StatusOr<std::unique_ptr<PendingSave>> PendingSave::begin(Options options,
                                                          const CheckpointMeta& meta,
                                                          RankPart part) {
  std::unique_ptr<PendingSave> save(new PendingSave(std::move(options), meta, std::move(part)));
  const RankGroup& ranks = save->options_.ranks;
  const Status made = ranks.is_first() ? make_empty_folder(save->folder()) : ok_status();
  if (const Status agreed = ranks.agree(made); !agreed.ok()) return save->end(agreed);
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> all, ranks.gather(""));
  save->num_ranks_ = static_cast<int64_t>(all.size());
  save->task_ = std::make_unique<RankTask>(
      ranks, [raw = save.get()](const std::atomic<bool>& cancel) { return raw->write(cancel); });
  return save;
}

PendingSave::~PendingSave() {
  task_.reset();
  if (ended_ || !options_.ranks.is_first()) return;
  TITAN_LOG(WARNING) << "[checkpoint] the save of step " << meta_.step
                     << " is dropped: the run ends before it is complete";
  std::error_code ignored;
  fs::remove_all(folder(), ignored);
}

std::string PendingSave::report_path(int64_t rank) const {
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "report-%05lld.json", static_cast<long long>(rank));
  return folder() + "/" + name.data();
}

/// This rank's file, and a report of it (an index of its own) for rank 0: through the folder, since
/// a thousand reports of a hundred kilobytes are too much to hand to every rank.
Status PendingSave::write(const std::atomic<bool>& cancel) {
  if (!part_.pieces) return ok_status();
  TITAN_ASSIGN_OR_RETURN(const StoredFile stored,
                         write_pieces(folder() + "/" + part_.file, part_.pieces(),
                                      {.hash_beside = part_.hash_beside, .cancel = &cancel}));
  part_.index.files[part_.file] = stored;
  return write_file_atomically(report_path(options_.ranks.rank), to_json(part_.index));
}

Status PendingSave::merge_reports(CheckpointIndex& index, int64_t num_ranks) const {
  for (int64_t rank = 0; rank < num_ranks; ++rank) {
    const std::string path = report_path(rank);
    if (!fs::exists(path)) continue;  // a replica: wrote nothing
    TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path));
    TITAN_ASSIGN_OR_RETURN(const CheckpointIndex part, index_from_json(text, path));
    TITAN_RETURN_IF_ERROR(index.merge(part));
    fs::remove(path);
  }
  index.meta = meta_;
  TITAN_RETURN_IF_ERROR(index.normalize());
  return index.check_complete();
}

Status PendingSave::publish(int64_t num_ranks) {
  CheckpointIndex index;
  TITAN_RETURN_IF_ERROR(merge_reports(index, num_ranks));
  TITAN_RETURN_IF_ERROR(write_file_atomically(folder() + "/index.json", to_json(index)));
  TITAN_RETURN_IF_ERROR(options_.folder.publish(meta_.step));
  // It stands: failing to tidy up around it is worth a warning, not the run.
  const Status tidied = options_.published ? options_.published() : ok_status();
  if (!tidied.ok()) TITAN_LOG(WARNING) << message_of(tidied);
  return ok_status();
}

std::optional<Status> PendingSave::advance(const std::optional<Status>& outcome) {
  if (!outcome) return std::nullopt;
  if (!outcome->ok() || publishing_) return end(*outcome);
  publishing_ = true;
  task_ = std::make_unique<RankTask>(options_.ranks, [this](const std::atomic<bool>&) {
    return options_.ranks.is_first() ? publish(num_ranks_) : ok_status();
  });
  return std::nullopt;
}

/// Nobody writes any more.
Status PendingSave::end(const Status& outcome) {
  ended_ = true;
  task_.reset();
  if (outcome.ok()) return outcome;
  std::error_code ignored;
  if (options_.ranks.is_first()) fs::remove_all(folder(), ignored);
  return annotate(outcome, str_cat("[checkpoint] step ", meta_.step,
                                   " was not saved, older checkpoints are untouched"));
}

std::optional<Status> PendingSave::poll(std::chrono::milliseconds wait) {
  return advance(task_->poll(wait));
}

Status PendingSave::finish() {
  while (true) {
    const std::optional<Status> outcome = advance(task_->finish());
    if (outcome) return *outcome;
  }
}

}  // namespace titan::checkpoint
