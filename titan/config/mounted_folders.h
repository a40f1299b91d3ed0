// mounted_folders.h: the places at which a container has data, models and logs, without a
// container.
#pragma once

#include <string>
#include <vector>

#include "titan/config/arg_table.h"

namespace titan::config {

struct MountedFolder {
  std::string place;     ///< in a container
  std::string variable;  ///< names the folder on this machine
};

/// Returns /dataset DATAROOT, /models MODELROOT, /logdir LOGDIR.
const std::vector<MountedFolder>& mounted_folders();

/// Returns `path` below the variable's folder: with DATAROOT=/scratch/data, /dataset/coco is
/// /scratch/data/coco. Unchanged where the variable is unset, where `path` exists, and where the
/// mounted place exists and the variable's folder does not (inside of a container its host's
/// folders are out of sight).
std::string resolve_mounted_path(const std::string& path,
                                 const std::vector<MountedFolder>& folders = mounted_folders());

/// The same for each text of `value`, and whether any changed; text of the command line may be a
/// list
/// ("/dataset/a,/dataset/b").
bool resolve_mounted_paths(ArgValue& value);

}  // namespace titan::config
