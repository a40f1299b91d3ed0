// host.h: the computer under a rank: processor, memory, limits of the process, clock. No torch.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "titan/tools/doctor/finding.h"

namespace titan::doctor {

/// Sizes in bytes; -1 = no limit, -2 = not known.
struct HostFacts {
  std::string cpu = {};   ///< as the kernel names it
  std::string simd = {};  ///< "AVX-512", "AVX2", "none": what titan's kernels use
  int cores = 0;          ///< that this process may run on
  int cores_of_host = 0;
  std::int64_t memory = -2;            ///< the host's, or the control group's where that is less
  std::int64_t memory_available = -2;  ///< without pushing anything out
  std::string huge_pages = {};         ///< "always", "madvise", "never", "" = not known
  std::int64_t open_files = -2;        ///< this process's limit, and how far it may raise it
  std::int64_t open_files_most = -2;
  std::int64_t locked_memory = -2;
  std::int64_t shared_memory = -2;  ///< /dev/shm
  std::int64_t shared_memory_free = -2;
};

/// What the job asks of its host.
struct HostNeeds {
  int world_size = 1;
  int ranks_here = 1;
  int threads_per_rank = 1;
  bool cuda = false;
};

HostFacts read_host();
void judge_host(const HostFacts& host, const HostNeeds& needs, Section& section);

/// Seconds that passed on the clock of the day and on the one that only counts.
struct ClockFacts {
  double wall_s = 0;
  double steady_s = 0;
  std::int64_t year = 0;  ///< that the clock of the day says
};

/// Waits so long.
ClockFacts measure_clock(std::chrono::milliseconds duration);
void judge_clock(const ClockFacts& clock, Section& section);

}  // namespace titan::doctor
