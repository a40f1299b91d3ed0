// logged_records.h: whether a replayed run logs what the run did. No torch.
#pragma once

#include <cstdint>
#include <string>

#include "titan/base/status.h"

namespace titan {

/// Compares loss and gradient norm of the train records of two metrics.jsonl files at the steps
/// after `from`, up to `to`, and logs how many are equal in every digit and which is the first that
/// is not. A file without such records is fine: records come every metrics.log_freq steps, and the
/// first one behind `from` may cover steps that were not repeated.
Status report_logged_records(const std::string& of_run, const std::string& of_replay, int64_t from,
                             int64_t to);

}  // namespace titan
