// rank_agreement.h: do all ranks run the same program with the same settings?
#pragma once

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/parallel/communicator.h"

namespace titan {

/// Compares the resolved settings, libtitan's own bytes and LibTorch's version over all ranks;
/// every rank calls it before anything else is sent. invalid_argument names the first rank that
/// differs from rank 0 and the first setting in which it does; all ranks get the same message.
Status check_ranks_agree(const JobConfig& config, parallel::Communicator& control);

}  // namespace titan
