// checkpoint_manager.h: when and where a run's checkpoints are written, found and removed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/checkpoint/checkpoint_folder.h"
#include "titan/checkpoint/checkpoint_reader.h"

namespace titan::checkpoint {

struct CheckpointManagerOptions {
  std::string folder;          ///< holds step-000100/, ...
  int64_t keep_latest_k = 10;  ///< 0 = keep all
  int64_t rank = 0;
  /// For layouts where several ranks hold state: every rank calls save with what it holds, and this
  /// hands each rank the texts of all (in order of rank; a barrier). Empty: one process saves
  /// everything.
  std::function<StatusOr<std::vector<std::string>>(const std::string& text)> exchange = {};
};

class CheckpointManager {
 public:
  /// Makes the folder and removes what a killed run left unfinished; on the first rank alone.
  static StatusOr<CheckpointManager> open(CheckpointManagerOptions options);

  /// Steps of the checkpoints in the folder, growing.
  StatusOr<std::vector<int64_t>> steps() const { return folder_.steps(); }
  StatusOr<std::optional<int64_t>> latest_step() const;
  std::string step_path(int64_t step) const { return folder_.step_path(step); }

  /// Writes checkpoint `meta.step`: each file and folder fsynced, the index last, then one rename.
  /// Only then are checkpoints beyond keep_latest_k removed. On an error (a full disk) nothing is
  /// left of it and the older ones stay. Those of later steps, from a course of the run that was
  /// given up, are hidden (CheckpointFolder::abandon).
  Status save(const CheckpointMeta& meta, const std::vector<CheckpointItem>& items) const;

  /// Opens a checkpoint (`step` -1: the latest) for load(). No checkpoint at all is kNotFound,
  /// damage kDataLoss; both messages say which other step can be loaded with
  /// --checkpoint.load_step.
  StatusOr<CheckpointReader> open_step(int64_t step = -1) const;
  /// Fills `items` from the checkpoint (-1: the latest); errors as open_step and
  /// CheckpointReader::load.
  StatusOr<CheckpointMeta> load(const std::vector<CheckpointItem>& items, int64_t step = -1) const;

 private:
  explicit CheckpointManager(CheckpointManagerOptions options)
      : options_(std::move(options)), folder_(options_.folder) {}
  Status write(const CheckpointMeta& meta, const std::vector<CheckpointItem>& items) const;
  StatusOr<std::vector<std::string>> exchange(const std::string& text) const;
  Status agree(const Status& mine) const;
  Status tidy(int64_t newest) const;
  Status with_advice(const Status& error, int64_t step) const;

  CheckpointManagerOptions options_;
  CheckpointFolder folder_;
};

}  // namespace titan::checkpoint
