#include "titan/checkpoint/checkpoint_manager.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/checkpoint/layout_roles.h"
#include "titan/checkpoint/rank_file.h"
#include "titan/checkpoint/retention.h"
#include "titan/checkpoint/shared_folder.h"

namespace titan::checkpoint {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

StatusOr<CheckpointManager> CheckpointManager::open(CheckpointManagerOptions options) {
  CheckpointManager manager(std::move(options));
  const RankGroup ranks = manager.ranks();
  const Status prepared = ranks.is_first() ? manager.folder_.prepare() : ok_status();
  TITAN_RETURN_IF_ERROR(ranks.agree(prepared));
  TITAN_RETURN_IF_ERROR(check_shared(manager.folder_.path(), ranks));
  return manager;
}

StatusOr<std::optional<int64_t>> CheckpointManager::latest_step() const {
  TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, folder_.steps());
  if (steps.empty()) return std::optional<int64_t>();
  return std::optional<int64_t>(steps.back());
}

/// What this rank writes of what it holds.
StatusOr<RankFile> CheckpointManager::own_file(const std::vector<CheckpointItem>& items) const {
  TITAN_ASSIGN_OR_RETURN(const LayoutRoles roles, find_roles(items, ranks(), host_identity()));
  std::vector<CheckpointItem> own;
  for (std::size_t i = 0; i < items.size(); ++i)
    if (roles.writes[i]) own.push_back(items[i]);
  return plan_rank_file(rank_file_name(options_.rank), own);
}

StatusOr<std::unique_ptr<PendingSave>> CheckpointManager::begin(const CheckpointMeta& meta,
                                                                RankPart part) const {
  const auto published = [folder = folder_, keep = options_.keep_latest_k, step = meta.step] {
    return keep_latest(folder, step, keep);
  };
  return PendingSave::begin({.folder = folder_, .ranks = ranks(), .published = published}, meta,
                            std::move(part));
}

Status CheckpointManager::save(const CheckpointMeta& meta,
                               const std::vector<CheckpointItem>& items) const {
  TITAN_ASSIGN_OR_RETURN(const RankFile file, own_file(items));
  file.await_device();
  RankPart part{file.name, file.index};
  if (!file.empty()) part.pieces = [&file] { return file.pieces(); };
  part.hash_beside = options_.threads > 1;
  TITAN_ASSIGN_OR_RETURN(const auto save, begin(meta, std::move(part)));
  return save->finish();
}

Status CheckpointManager::reserve(const std::vector<CheckpointItem>& items) {
  TITAN_ASSIGN_OR_RETURN(const RankFile file, own_file(items));
  if (file.empty()) return ok_status();
  staging_->reserve(file);
  TITAN_LOG(INFO) << "[checkpoint] checkpoint.async_mode=async keeps "
                  << human_bytes(static_cast<double>(file.size_bytes))
                  << " of host memory on this rank for the copy that is written";
  return ok_status();
}

Status CheckpointManager::wait_for_pending(int64_t next_step) {
  if (!pending_) return ok_status();
  TITAN_RETURN_IF_ERROR(poll().status());
  if (!pending_) return ok_status();
  const int64_t step = pending_->step();
  const auto began = Clock::now();
  TITAN_LOG(WARNING) << "[checkpoint] the save of step " << step << " is still under way; step "
                     << next_step << " waits for it";
  const Status status = finish().status();
  TITAN_LOG(WARNING) << "[checkpoint] waited " << human_duration(seconds_since(began))
                     << " for the save of step " << step
                     << ": the disk is slower than checkpoint.interval asks for";
  return status;
}

Status CheckpointManager::start_save(const CheckpointMeta& meta,
                                     const std::vector<CheckpointItem>& items) {
  TITAN_RETURN_IF_ERROR(wait_for_pending(meta.step));
  TITAN_ASSIGN_OR_RETURN(const RankFile file, own_file(items));
  RankPart part{file.name, file.index};
  if (!file.empty()) {
    staging_->copy(file);
    part.pieces = [staging = staging_.get()] {
      staging->wait();
      return staging->pieces();
    };
  }
  TITAN_ASSIGN_OR_RETURN(pending_, begin(meta, std::move(part)));
  return ok_status();
}

StatusOr<std::optional<int64_t>> CheckpointManager::ended(const std::optional<Status>& outcome) {
  if (!outcome) return std::optional<int64_t>();
  const int64_t step = pending_->step();
  pending_.reset();
  if (!outcome->ok()) return *outcome;
  return std::optional<int64_t>(step);
}

StatusOr<std::optional<int64_t>> CheckpointManager::poll() {
  if (!pending_) return std::optional<int64_t>();
  return ended(pending_->poll());
}

StatusOr<std::optional<int64_t>> CheckpointManager::finish() {
  if (!pending_) return std::optional<int64_t>();
  return ended(pending_->finish());
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

Status load_together(const CheckpointReader& reader, const std::vector<CheckpointItem>& items,
                     const RankGroup& ranks, int threads) {
  TITAN_ASSIGN_OR_RETURN(const LayoutRoles roles, find_roles(items, ranks, host_identity()));
  return ranks.agree(reader.load(items, {.threads = threads, .verify = roles.verify}));
}

StatusOr<CheckpointMeta> CheckpointManager::load(const std::vector<CheckpointItem>& items,
                                                 int64_t step) const {
  const StatusOr<CheckpointReader> reader = open_step(step);
  TITAN_RETURN_IF_ERROR(ranks().agree(reader.status()));
  const Status loaded = load_together(*reader, items, ranks(), options_.threads);
  if (loaded.ok()) return reader->meta();
  if (!damaged(loaded)) return loaded;
  // Looking for an older one reads all of it: one rank does, the others wait for its word.
  Status advised = loaded;
  TITAN_RETURN_IF_ERROR(run_on_first_rank(ranks(), [&] {
    advised = with_advice(loaded, reader->meta().step);
    return ok_status();
  }));
  TITAN_ASSIGN_OR_RETURN(const std::vector<std::string> texts,
                         ranks().gather(status_text(advised)));
  return status_of_text(texts.front());
}

/// Damage (a bad or missing file): says which older checkpoint is whole. Other errors pass as they
/// are.
Status CheckpointManager::with_advice(const Status& error, int64_t step) const {
  if (!damaged(error)) return error;
  return advise_older(folder_, error, step, options_.threads);
}

}  // namespace titan::checkpoint
