// replay_output.h: the folder of a replay: what an earlier one left stays until this one is
// complete.
#pragma once

#include <string>
#include <utility>

#include "titan/base/status.h"
#include "titan/train/run_folder.h"

namespace titan {

/// The replay writes into `work`, a folder in `output`; publish() puts its files in place of an
/// earlier replay's. Without that `work` is removed and the earlier replay stays as it was.
class ReplayOutput {
 public:
  /// Makes both folders, `work` empty, and locks `output` against another replay.
  static StatusOr<ReplayOutput> open(const std::string& output, const std::string& work);

  ~ReplayOutput();
  ReplayOutput(ReplayOutput&& other) noexcept
      : folder_(std::move(other.folder_)), work_(std::exchange(other.work_, {})) {}
  ReplayOutput& operator=(ReplayOutput&&) = delete;

  /// Files of ranks beyond `world_size`, of an earlier replay, go. Once.
  Status publish(int world_size);

 private:
  ReplayOutput(RunFolder folder, std::string work)
      : folder_(std::move(folder)), work_(std::move(work)) {}

  RunFolder folder_;
  std::string work_;  ///< empty once published
};

}  // namespace titan
