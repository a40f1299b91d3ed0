#include "titan/parallel/cpu_share.h"

#include <sched.h>
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "titan/base/slurm_env.h"

namespace titan::parallel {
namespace {

/// Cores of a task of srun's as SLURM_CPUS_PER_TASK has them, 0 where it says nothing. They may be
/// all that the task sees: to share them among the ranks of the node once more would leave cores
/// idle.
int cores_of_slurm_task() {
  const char* text = std::getenv("SLURM_CPUS_PER_TASK");
  if (text == nullptr || !is_slurm_task()) return 0;
  int cores = 0;
  std::from_chars(text, text + std::strlen(text), cores);
  return std::max(0, cores);
}

}  // namespace

int available_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) == 0) return std::max(1, CPU_COUNT(&cores));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int threads_per_rank(int local_ranks) {
  if (const int cores = cores_of_slurm_task(); cores > 0) return std::min(cores, available_cores());
  return std::max(1, available_cores() / std::max(1, local_ranks));
}

}  // namespace titan::parallel
