// tar_files.h: the tars of a webdataset, found and opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/tar_index.h"

namespace titan {

struct JobConfig;

/// The tars that training.dataset_path (or the data set's usual place) means, sorted: a folder of
/// tars, one tar, or a glob pattern. An error where there are none.
StatusOr<std::vector<std::filesystem::path>> tar_paths(const JobConfig& config);

/// Opens all indexes, dataset.num_workers at a time: the first run walks every tar, and a network
/// file system answers slowly. Damage is warned of; no samples at all is an error. `speaker` begins
/// the messages.
StatusOr<std::vector<TarIndex>> open_tars(const std::vector<std::filesystem::path>& paths,
                                          int64_t num_threads, const std::string& speaker);

}  // namespace titan
