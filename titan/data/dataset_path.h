// dataset_path.h: where a data set lies, and how to get it where it does not.
#pragma once

#include <filesystem>
#include <string>

#include "titan/base/status.h"

namespace titan {

struct JobConfig;

/// training.dataset_path, or where it is unset the place at which the reference's own container has
/// the data set (docs/data.md), checked to exist. The error names the data set, the key, and where
/// there is one the command that fetches the data.
StatusOr<std::filesystem::path> dataset_path(const JobConfig& config);

/// The same without a look at the disk: a pattern or an address may stand there. Empty where the
/// key is unset and the data set has no usual place.
std::string wanted_dataset_path(const JobConfig& config);

/// Why there is no such data set: kNotFound, or kInvalidArgument where no path is known at all.
Status dataset_missing(const JobConfig& config);

}  // namespace titan
