// checkpoint_manager.h: when and where a run's checkpoints are written, found and removed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_folder.h"
#include "titan/checkpoint/checkpoint_reader.h"
#include "titan/checkpoint/pending_save.h"
#include "titan/checkpoint/rank_group.h"
#include "titan/checkpoint/staging.h"

namespace titan::checkpoint {

struct CheckpointManagerOptions {
  std::string folder;          ///< holds step-000100/, ...
  int64_t keep_latest_k = 10;  ///< 0 = keep all
  int64_t rank = 0;
  /// Where there are several ranks: hands each rank the texts of all (in order of rank; a barrier).
  /// Called on the thread that calls the manager, never on another. Empty: one process.
  std::function<StatusOr<std::vector<std::string>>(const std::string& text)> exchange = {};
  int threads = 1;  ///< of a save or load that training waits for
};

/// Every rank calls every function that is marked collective, in the same order, with what it
/// holds.
class CheckpointManager {
 public:
  /// Collective. The first rank makes the folder and removes what a killed run left unfinished; the
  /// others must see it (check_shared).
  static StatusOr<CheckpointManager> open(CheckpointManagerOptions options);

  /// Steps of the checkpoints in the folder, growing.
  StatusOr<std::vector<int64_t>> steps() const { return folder_.steps(); }
  StatusOr<std::optional<int64_t>> latest_step() const;
  std::string step_path(int64_t step) const { return folder_.step_path(step); }

  /// Collective. Writes checkpoint `meta.step`: every rank what no lower rank holds too, each file
  /// and folder fsynced, the index last, then one rename. Only then are checkpoints beyond
  /// keep_latest_k removed. On an error of any rank (a full disk) every rank returns it, nothing is
  /// left of the checkpoint and the older ones stay. Those of later steps, from a course of the run
  /// that was given up, are hidden (CheckpointFolder::abandon).
  Status save(const CheckpointMeta& meta, const std::vector<CheckpointItem>& items) const;

  /// Makes room for start_save(): host memory of the size of what this rank writes. Collective.
  Status reserve(const std::vector<CheckpointItem>& items);
  /// Collective. As save(), but returns once the items are copied; threads write the copy. A save
  /// that is still under way is waited for first, and the log says so; its error is returned.
  Status start_save(const CheckpointMeta& meta, const std::vector<CheckpointItem>& items);
  /// Collective, at every border of a step: the step of a save that has become complete since;
  /// nothing where none has. The error of a save that failed. Costs nothing where none is under
  /// way.
  StatusOr<std::optional<int64_t>> poll();
  /// Collective. Waits for the save that is under way, if there is one, as poll().
  StatusOr<std::optional<int64_t>> finish();

  /// Opens a checkpoint (`step` -1: the latest) for load(). No checkpoint at all is kNotFound,
  /// damage kDataLoss; both messages say which other step can be loaded with
  /// --checkpoint.load_step.
  StatusOr<CheckpointReader> open_step(int64_t step = -1) const;
  /// Collective. Fills `items` from the checkpoint (-1: the latest), each rank what it holds; ranks
  /// of one host that hold the same share the hashing. Errors as open_step and
  /// CheckpointReader::load, the first rank's on all ranks.
  StatusOr<CheckpointMeta> load(const std::vector<CheckpointItem>& items, int64_t step = -1) const;

 private:
  explicit CheckpointManager(CheckpointManagerOptions options)
      : options_(std::move(options)), folder_(options_.folder) {}
  RankGroup ranks() const { return {options_.rank, options_.exchange}; }
  StatusOr<RankFile> own_file(const std::vector<CheckpointItem>& items) const;
  StatusOr<std::unique_ptr<PendingSave>> begin(const CheckpointMeta& meta, RankPart part) const;
  StatusOr<std::optional<int64_t>> ended(const std::optional<Status>& outcome);
  Status wait_for_pending(int64_t next_step);
  Status with_advice(const Status& error, int64_t step) const;

  CheckpointManagerOptions options_;
  CheckpointFolder folder_;
  std::unique_ptr<Staging> staging_ = std::make_unique<Staging>();
  std::unique_ptr<PendingSave> pending_;  ///< after staging_: its thread reads from there
};

/// Collective. As CheckpointManager::load, from a checkpoint anywhere.
Status load_together(const CheckpointReader& reader, const std::vector<CheckpointItem>& items,
                     const RankGroup& ranks, int threads);

}  // namespace titan::checkpoint
