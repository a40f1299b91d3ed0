// checkpoint_folder.h: the folder that holds a run's checkpoints: names, what is there, removal. A
// checkpoint appears under its name when it is complete and leaves it before it is taken apart.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::checkpoint {

/// "step-000100"
std::string step_folder_name(int64_t step);
/// "rank-00000.safetensors"
std::string rank_file_name(int64_t rank);

class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  std::string step_path(int64_t step) const;
  /// Where checkpoint `step` is written before it is complete.
  std::string temporary_path(int64_t step) const;

  /// Steps of the checkpoints here, growing. No folder = none.
  StatusOr<std::vector<int64_t>> steps() const;
  /// Makes the folder; removes what a killed run left unfinished.
  Status prepare() const;
  /// Gives the written temporary folder its name, atomically; a checkpoint of the same step is
  /// replaced.
  Status publish(int64_t step) const;
  /// Removes a checkpoint; a kill in the middle leaves none that is half.
  Status remove(int64_t step) const;
  /// Hides a checkpoint of another course of the run: `.abandoned-step-000100`, never loaded, never
  /// overwritten.
  Status abandon(int64_t step) const;

 private:
  std::string path_;
};

}  // namespace titan::checkpoint
