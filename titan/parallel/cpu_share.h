// cpu_share.h: how this host's cores are split among its ranks. No torch.
#pragma once

namespace titan::parallel {

/// Cores this process may run on (its affinity mask, so a container's or srun's share counts), at
/// least 1.
int available_cores();

/// Threads for one of `local_ranks` ranks on this host: cores / ranks, at least 1.
int threads_per_rank(int local_ranks);

}  // namespace titan::parallel
