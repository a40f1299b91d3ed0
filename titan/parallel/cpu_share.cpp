#include "titan/parallel/cpu_share.h"

#include <sched.h>
#include <algorithm>
#include <thread>

namespace titan::parallel {

int available_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) == 0) return std::max(1, CPU_COUNT(&cores));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int threads_per_rank(int local_ranks) {
  return std::max(1, available_cores() / std::max(1, local_ranks));
}

}  // namespace titan::parallel
