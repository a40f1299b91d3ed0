#include "titan/parallel/parallelize.h"

#include <utility>

namespace titan::parallel {

StatusOr<std::unique_ptr<BlockRunner>> default_parallelize(std::shared_ptr<Model> model,
                                                           const DeviceMesh& mesh,
                                                           const JobConfig& config,
                                                           RunnerHooks* hooks) {
  if (mesh.dp_size() != mesh.world_size()) {
    return invalid_argument("[parallel] this model runs data parallel only (dp=", mesh.dp_size(),
                            ", world_size=", mesh.world_size(), ")");
  }
  TITAN_ASSIGN_OR_RETURN(RecomputePlan plan,
                         recompute_plan(config.activation_checkpoint, model->blocks().size()));
  return make_runner(std::move(model), hooks, std::move(plan));
}

}  // namespace titan::parallel
