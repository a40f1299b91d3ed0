// preprocess: the job that encodes a data set once. May include everything below tools.
//
// job_description.h: what a preprocessing job is, in words that can be compared. No torch.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "titan/base/status.h"

namespace titan::preprocess {

/// Everything that decides which bytes the job writes, as name and value in order ("data set",
/// "crop", "T5 encoder", ...). Not the ranks, the batch size or the device: a job goes on with
/// others.
using JobDescription = std::vector<std::pair<std::string, std::string>>;

nlohmann::ordered_json to_json(const JobDescription& job);
/// An error where the object holds anything but texts.
StatusOr<JobDescription> description_from_json(const nlohmann::ordered_json& json);

/// "crop (random there, center here), T5 encoder (...)", empty where both are the same job.
std::string differences(const JobDescription& there, const JobDescription& here);

/// Identity of an encoder's files (a file or a folder of them): the hash of all names, sizes and
/// contents, of a file above 8 MiB only of three pieces, its beginning, middle and end.
/// "none" for an empty path. Errors name the path.
StatusOr<std::string> identity_of_files(const std::string& path);

}  // namespace titan::preprocess
