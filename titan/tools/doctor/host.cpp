#include "titan/tools/doctor/host.h"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <thread>

#include "titan/base/human.h"
#include "titan/kernels/cpu/simd.h"
#include "titan/parallel/cpu_share.h"

namespace titan::doctor {
namespace {

constexpr std::int64_t kMiB = 1LL << 20;
constexpr std::int64_t kGiB = 1LL << 30;

std::string size(std::int64_t bytes) {
  return bytes == -1   ? "unlimited"
         : bytes == -2 ? "unknown"
                       : human_bytes(static_cast<double>(bytes));
}

/// What follows the colon on the first line of `path` that begins with `key`.
std::string value_of(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) != 0) continue;
    const std::size_t begin = line.find_first_not_of(" \t", line.find(':') + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::int64_t meminfo(const std::string& key) {
  const std::string text = value_of("/proc/meminfo", key);
  return text.empty() ? -2 : std::strtoll(text.c_str(), nullptr, 10) * 1024;
}

std::int64_t number_in(const char* path) {
  std::ifstream file(path);
  std::int64_t value = -2;
  return file >> value ? value : -2;
}

/// The word in brackets: "always [madvise] never".
std::string chosen_in(const char* path) {
  std::ifstream file(path);
  std::string text;
  std::getline(file, text);
  const std::size_t open = text.find('['), close = text.find(']');
  return open == std::string::npos || close == std::string::npos
             ? ""
             : text.substr(open + 1, close - open - 1);
}

std::string simd_name() {
  switch (kernels::cpu::simd_level()) {
    case kernels::cpu::SimdLevel::kAvx512:
      return "AVX-512";
    case kernels::cpu::SimdLevel::kAvx2:
      return "AVX2";
    default:
      return "none";
  }
}

std::int64_t limit_of(rlim_t value) {
  return value == RLIM_INFINITY ? -1 : static_cast<std::int64_t>(value);
}

void judge_memory(const HostFacts& host, Section& section) {
  const std::string text = size(host.memory) + ", " + size(host.memory_available) + " available";
  if (host.memory_available >= 0 && host.memory_available < 512 * kMiB) {
    section.fail("memory", text, "end what else runs here, or give the job more");
  } else if (host.memory > 0 && host.memory_available >= 0 &&
             host.memory_available < host.memory / 4) {
    section.warn("memory", text, "something else uses most of it; ps aux --sort -rss names it");
  } else {
    section.ok("memory", text);
  }
  if (host.huge_pages == "never")
    section.warn("huge pages", "off",
                 "titan's CPU allocator asks for them, training on the CPU is slower without: echo "
                 "madvise > /sys/kernel/mm/transparent_hugepage/enabled");
  else if (!host.huge_pages.empty())
    section.ok("huge pages", host.huge_pages);
}

/// Sockets to each other rank, for each of the engine's groups, and the shards that loaders hold
/// open.
std::int64_t needed_files(const HostNeeds& needs) { return 256 + 6LL * needs.world_size; }

void judge_limits(const HostFacts& host, const HostNeeds& needs, Section& section) {
  const std::int64_t need = needed_files(needs);
  if (host.open_files >= 0 && host.open_files < 4 * need) {
    const std::string text = str_cat(host.open_files, " (about ", need, " are needed)");
    const std::string advice =
        host.open_files_most == -1 || host.open_files_most > host.open_files
            ? str_cat("ulimit -n ", std::max<std::int64_t>(65536, 4 * need))
            : "let root raise nofile in /etc/security/limits.conf (or the container's --ulimit)";
    if (host.open_files < need)
      section.fail("open files", text, advice);
    else
      section.warn("open files", text, advice);
  } else if (host.open_files != -2) {
    section.ok("open files", host.open_files == -1 ? "unlimited" : std::to_string(host.open_files));
  }
  // Network adapters with RDMA read memory that must not move.
  const bool several_hosts = needs.world_size > needs.ranks_here;
  if (needs.cuda && several_hosts && host.locked_memory >= 0 && host.locked_memory < kGiB)
    section.warn("locked memory", size(host.locked_memory),
                 "NCCL over InfiniBand or RoCE fails or falls back to TCP: ulimit -l unlimited (in "
                 "SLURM: PropagateResourceLimitsExcept=MEMLOCK)");
  else
    section.ok("locked memory", size(host.locked_memory));
  // NCCL's ranks of one host talk through it where there is no direct way between devices.
  const std::int64_t need_shared =
      needs.cuda && needs.ranks_here > 1 ? 32 * kMiB * needs.ranks_here : 0;
  const std::string text = size(host.shared_memory_free) + " free of " + size(host.shared_memory);
  if (host.shared_memory_free == -2) {
    section.warn("/dev/shm", "not there", "mount a tmpfs on it");
  } else if (host.shared_memory_free < need_shared) {
    section.fail("/dev/shm", text + ", " + size(need_shared) + " are needed",
                 "in a container: --shm-size=1g or --ipc=host");
  } else {
    section.ok("/dev/shm", text);
  }
}

struct Moment {
  double steady_s = 0;
  double wall_s = 0;
};

/// Both clocks at one moment: on a busy host this thread may lose its core between the two.
Moment both_clocks() {
  using Seconds = std::chrono::duration<double>;
  constexpr double kTogether = 1e-4;
  Moment best;
  double narrowest = 1e9;
  for (int i = 0; i < 100 && narrowest > kTogether; ++i) {
    const Seconds before = std::chrono::steady_clock::now().time_since_epoch();
    const Seconds wall = std::chrono::system_clock::now().time_since_epoch();
    const Seconds after = std::chrono::steady_clock::now().time_since_epoch();
    if ((after - before).count() >= narrowest) continue;
    narrowest = (after - before).count();
    best = {(before + after).count() / 2, wall.count()};
  }
  return best;
}

}  // namespace

HostFacts read_host() {
  HostFacts host;
  host.cpu = value_of("/proc/cpuinfo", "model name");
  if (host.cpu.empty()) host.cpu = "unknown processor";
  host.simd = simd_name();
  host.cores = parallel::available_cores();
  host.cores_of_host = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  host.memory = meminfo("MemTotal");
  host.memory_available = meminfo("MemAvailable");
  const std::int64_t group = number_in("/sys/fs/cgroup/memory.max");
  if (group > 0 && group < host.memory) {
    host.memory = group;
    const std::int64_t used = number_in("/sys/fs/cgroup/memory.current");
    if (used >= 0) host.memory_available = std::min(host.memory_available, group - used);
  }
  host.huge_pages = chosen_in("/sys/kernel/mm/transparent_hugepage/enabled");
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    host.open_files = limit_of(limit.rlim_cur);
    host.open_files_most = limit_of(limit.rlim_max);
  }
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) host.locked_memory = limit_of(limit.rlim_cur);
  struct statvfs shared {};
  if (statvfs("/dev/shm", &shared) == 0) {
    host.shared_memory = static_cast<std::int64_t>(shared.f_blocks * shared.f_frsize);
    host.shared_memory_free = static_cast<std::int64_t>(shared.f_bavail * shared.f_frsize);
  }
  return host;
}

void judge_host(const HostFacts& host, const HostNeeds& needs, Section& section) {
  const std::string cores = host.cores == host.cores_of_host
                                ? str_cat(host.cores, host.cores == 1 ? " core" : " cores")
                                : str_cat(host.cores, " of ", host.cores_of_host, " cores");
  section.ok("processor",
             str_cat(host.cpu, ", ", cores, host.simd == "none" ? "" : ", " + host.simd));
  if (host.simd == "none")
    section.warn("vector units", "no AVX2", "titan's kernels run on the CPU in their slow form");
  const int threads = needs.ranks_here * needs.threads_per_rank;
  const std::string split = str_cat(needs.ranks_here, needs.ranks_here == 1 ? " rank" : " ranks",
                                    " x ", needs.threads_per_rank, " threads");
  if (threads > host.cores)
    section.warn("threads", split + ", more than there are cores: they take turns",
                 needs.ranks_here > host.cores
                     ? "start at most one rank a core (srun: --cpus-per-task, --cpu-bind)"
                     : str_cat("--job.num_threads=", host.cores / needs.ranks_here));
  else
    section.ok("threads", split);
  judge_memory(host, section);
  judge_limits(host, needs, section);
}

ClockFacts measure_clock(std::chrono::milliseconds duration) {
  const Moment start = both_clocks();
  std::this_thread::sleep_for(duration);
  const Moment end = both_clocks();
  ClockFacts clock;
  clock.steady_s = end.steady_s - start.steady_s;
  clock.wall_s = end.wall_s - start.wall_s;
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  clock.year = parts.tm_year + 1900;
  return clock;
}

void judge_clock(const ClockFacts& clock, Section& section) {
  constexpr double kJump = 0.1;          // seconds: nobody corrects a clock so fast by slewing
  constexpr double kDrift = 2e-3;        // of a second: four times what adjtime(3) slews at most
  constexpr std::int64_t kBuilt = 2026;  // the year of this program: no clock is right before it
  const double off = clock.wall_s - clock.steady_s;
  char text[96];
  std::snprintf(text, sizeof text, "%+.2f ms in %.1f s against the steady clock", 1e3 * off,
                clock.steady_s);
  if (clock.year < kBuilt)
    section.fail("wall clock", str_cat("it says ", clock.year),
                 "set the clock: logs, certificates and SLURM's end time hang on it");
  else if (std::abs(off) > kJump)
    section.fail("wall clock", str_cat("it jumped: ", text),
                 "find out who sets it (chronyc tracking, journalctl -u systemd-timesyncd)");
  else if (std::abs(off) > kDrift * clock.steady_s)
    section.warn("wall clock", str_cat("it runs off: ", text), "chronyc tracking says why");
  else
    section.ok("wall clock", text);
}

}  // namespace titan::doctor
