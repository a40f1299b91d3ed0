// pending_save.h: one checkpoint on its way to the disk: every rank writes its file, rank 0 merges
// the index and gives the folder its name.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_folder.h"
#include "titan/checkpoint/checkpoint_index.h"
#include "titan/checkpoint/file_writer.h"
#include "titan/checkpoint/rank_group.h"
#include "titan/checkpoint/rank_task.h"

namespace titan::checkpoint {

/// What this rank adds; no pieces: nothing.
struct RankPart {
  std::string file;       ///< its name
  CheckpointIndex index;  ///< of the tensors in it
  std::function<std::vector<FilePiece>()> pieces = {};
  bool hash_beside = false;  ///< FileWriteOptions
};

/// All ranks make the same calls in the same order, on training's thread; threads of its own write.
class PendingSave {
 public:
  struct Options {
    CheckpointFolder folder;
    RankGroup ranks;
    std::function<Status()> published = {};  ///< on rank 0's own thread, when it has its name
  };

  /// Collective: rank 0 makes the temporary folder; then every rank begins to write.
  static StatusOr<std::unique_ptr<PendingSave>> begin(Options options, const CheckpointMeta& meta,
                                                      RankPart part);
  /// Not collective: gives up what is not complete; rank 0 takes away what was written.
  ~PendingSave();
  PendingSave(const PendingSave&) = delete;
  PendingSave& operator=(const PendingSave&) = delete;

  int64_t step() const { return meta_.step; }
  /// Collective: nothing while it is under way; ok once the checkpoint stands under its name; an
  /// error on every rank (which rank, and why) where one failed: nothing of it is left then.
  std::optional<Status> poll(std::chrono::milliseconds wait = std::chrono::milliseconds(0));
  /// Collective: the outcome.
  Status finish();

 private:
  PendingSave(Options options, const CheckpointMeta& meta, RankPart part)
      : options_(std::move(options)), meta_(meta), part_(std::move(part)) {}
  std::optional<Status> advance(const std::optional<Status>& outcome);
  Status write(const std::atomic<bool>& cancel);
  Status publish(int64_t num_ranks);
  Status merge_reports(CheckpointIndex& index, int64_t num_ranks) const;
  Status end(const Status& outcome);
  std::string folder() const { return options_.folder.temporary_path(meta_.step); }
  std::string report_path(int64_t rank) const;

  Options options_;
  CheckpointMeta meta_;
  RankPart part_;
  int64_t num_ranks_ = 1;
  bool publishing_ = false;
  bool ended_ = false;
  std::unique_ptr<RankTask> task_;  ///< last: its thread uses what is above
};

}  // namespace titan::checkpoint
