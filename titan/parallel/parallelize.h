// parallelize.h: the way a model is run on a mesh unless its spec says otherwise.
#pragma once

#include <memory>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/parallel/device_mesh.h"
#include "titan/protocols/block_runner.h"

namespace titan::parallel {

/// Every rank runs all blocks on its own samples; `hooks` (a ParallelEngine) gather parameters and
/// sum gradients. Blocks are recomputed as config.activation_checkpoint says. `hooks` outlives the
/// runner.
StatusOr<std::unique_ptr<BlockRunner>> default_parallelize(std::shared_ptr<Model> model,
                                                           const DeviceMesh& mesh,
                                                           const JobConfig& config,
                                                           RunnerHooks* hooks);

}  // namespace titan::parallel
