// slurm_env.h: what SLURM says of a job step in its variables. Only reads and parses: no SLURM
// program is started.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// Returns the hosts of a host list as SLURM writes them: "n[1-2,07-09],m3" -> n1 n2 n07 n08 n09
/// m3; brackets may occur several times in a name. A malformed list, or one of more than 65536
/// hosts, is an error that shows it.
StatusOr<std::vector<std::string>> expand_host_list(const std::string& list);

/// Returns the tasks of each node: "8(x2),3" -> 8 8 3.
StatusOr<std::vector<int>> expand_task_counts(const std::string& counts);

/// Whether this process is a task of srun's. False in batch scripts and in interactive shells
/// (salloc's, and `srun --pty`), which have most of the variables but are no rank.
bool is_slurm_task();

/// Returns tasks on this node: SLURM_STEP_TASKS_PER_NODE at SLURM_NODEID, else
/// SLURM_NTASKS_PER_NODE, else all of `world_size` where the step has one node. An error names what
/// is missing.
StatusOr<int> slurm_local_world_size(int world_size);

/// Where the ranks of a step meet.
struct MeetingPlace {
  std::string address;
  int port = 0;
  std::string note;  ///< what should be said about it; empty: nothing
};

/// Returns the first host of the step's (else the job's) node list and a port from job and step,
/// the same on every rank: 16384 to 32767, below those that the kernel hands out. One node:
/// 127.0.0.1. Where `resolves` knows no address of the host, the one from which srun was started
/// (in a batch job that is the first node), with a note. Never 127.0.0.1 for several nodes unless
/// SLURM says so itself.
StatusOr<MeetingPlace> slurm_meeting_place(
    const std::function<bool(const std::string& host)>& resolves);

/// Whether the system knows an address of `host`.
bool has_address(const std::string& host);

}  // namespace titan
