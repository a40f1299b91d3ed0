// preprocess_main.h: `titan preprocess`, which run_preprocessing.sh calls.
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/data/encoded_rows.h"
#include "titan/preprocess/job_description.h"

namespace titan::preprocess {

/// The verb: `arguments` are settings. Ranks by NGPU; exit codes as job_main's.
int preprocess_main(const std::vector<std::string>& arguments);

/// What the settings, the data set and the encoders' files make of a job.
StatusOr<JobDescription> describe_job(const JobConfig& config, const std::string& data_fingerprint,
                                      int64_t num_samples, const EncodedShapes& shapes);

}  // namespace titan::preprocess
