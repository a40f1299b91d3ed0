// links.h: how fast every rank reaches every other, and all of them together; whether their clocks
// agree.
#pragma once

#include <c10/core/Device.h>

#include "titan/base/rank_env.h"
#include "titan/parallel/communicator.h"
#include "titan/tools/doctor/link_figures.h"

namespace titan::doctor {

/// Collective, of at least two ranks. Messages travel by NCCL or Gloo, clocks are
/// compared through the store. Every rank gets all figures. Throws titan::Error where ranks do not
/// answer.
LinkFigures measure_links(const RankEnv& env, c10::Device device, parallel::Communicator& control);

}  // namespace titan::doctor
