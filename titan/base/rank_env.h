// rank_env.h: who am I among the processes of this job.
#pragma once

#include <string>

#include "titan/base/status.h"

namespace titan {

/// This process among those of the job, as its launcher says.
struct RankEnv {
  int rank = 0;                           ///< among all
  int local_rank = 0;                     ///< among those of this host
  int world_size = 1;                     ///< ranks of the job
  int local_world_size = 1;               ///< ranks of this host
  std::string master_addr = "127.0.0.1";  ///< host of rank 0
  int master_port = 0;                    ///< of rank 0's store
  std::string source =
      "single process";  ///< which variables were used: "torchrun", "slurm", "single process"

  bool is_main() const { return rank == 0; }  ///< rank 0
};

/// Reads torchrun's variables (RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR,
/// MASTER_PORT), else those of an srun step (slurm_env.h: address and port come from the step where
/// MASTER_ADDR and MASTER_PORT are not set), else a single process. An incomplete or malformed
/// set is an error that names the variable.
StatusOr<RankEnv> rank_env_from_environment();

/// True where this rank's INFO lines are wanted: LOG_RANK is a comma list of ranks, default "0".
bool log_rank_selected(int rank);

}  // namespace titan
