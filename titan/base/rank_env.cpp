#include "titan/base/rank_env.h"

#include <charconv>
#include <cstring>
#include <optional>
#include <sstream>

#include "titan/base/environment.h"
#include "titan/base/slurm_env.h"

namespace titan {
namespace {

StatusOr<int> parse_int(const std::string& name, const std::string& text) {
  int value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size() || value < 0) {
    return invalid_argument("[rank] ", name, "=\"", text, "\" is not a non-negative integer");
  }
  return value;
}

StatusOr<int> required_int(const char* name, const char* because) {
  const auto text = environment(name);
  if (!text) return invalid_argument("[rank] ", because, " is set but ", name, " is not");
  return parse_int(name, *text);
}

StatusOr<int> int_or(const char* name, int fallback) {
  const auto text = environment(name);
  if (!text) return fallback;
  return parse_int(name, *text);
}

Status read_master(RankEnv& env, const char* because) {
  if (env.world_size == 1) {
    env.master_addr = environment("MASTER_ADDR").value_or("127.0.0.1");
    TITAN_ASSIGN_OR_RETURN(env.master_port, int_or("MASTER_PORT", 0));
    return ok_status();
  }
  const auto addr = environment("MASTER_ADDR");
  if (!addr)
    return invalid_argument("[rank] ", because, " gives ", env.world_size,
                            " ranks but MASTER_ADDR (host of rank 0) is not set");
  env.master_addr = *addr;
  TITAN_ASSIGN_OR_RETURN(env.master_port, required_int("MASTER_PORT", because));
  return ok_status();
}

Status validate(const RankEnv& env) {
  if (env.world_size < 1 || env.rank >= env.world_size) {
    return invalid_argument("[rank] rank must be below world size (rank=", env.rank,
                            ", world_size=", env.world_size, ", from ", env.source, ")");
  }
  if (env.local_world_size < 1 || env.local_rank >= env.local_world_size) {
    return invalid_argument(
        "[rank] local rank must be below local world size (local_rank=", env.local_rank,
        ", local_world_size=", env.local_world_size, ", from ", env.source, ")");
  }
  return ok_status();
}

StatusOr<RankEnv> from_torchrun() {
  RankEnv env;
  env.source = "torchrun";
  TITAN_ASSIGN_OR_RETURN(env.rank, required_int("RANK", "WORLD_SIZE"));
  TITAN_ASSIGN_OR_RETURN(env.world_size, required_int("WORLD_SIZE", "RANK"));
  TITAN_ASSIGN_OR_RETURN(env.local_rank, int_or("LOCAL_RANK", env.rank));
  TITAN_ASSIGN_OR_RETURN(env.local_world_size, int_or("LOCAL_WORLD_SIZE", env.world_size));
  TITAN_RETURN_IF_ERROR(read_master(env, "WORLD_SIZE"));
  return env;
}

/// MASTER_ADDR and MASTER_PORT win; what is not set comes from the step.
Status find_slurm_master(RankEnv& env) {
  const auto addr = environment("MASTER_ADDR");
  const auto port = environment("MASTER_PORT");
  if (env.world_size == 1 || (addr && port)) return read_master(env, "SLURM_NTASKS");
  TITAN_ASSIGN_OR_RETURN(const MeetingPlace place, slurm_meeting_place(has_address));
  env.master_addr = addr.value_or(place.address);
  env.master_port = place.port;
  if (port) {
    TITAN_ASSIGN_OR_RETURN(env.master_port, required_int("MASTER_PORT", "SLURM_NTASKS"));
  }
  if (!addr && !place.note.empty()) env.source += " (" + place.note + ")";
  return ok_status();
}

StatusOr<RankEnv> from_slurm() {
  RankEnv env;
  env.source = "slurm";
  const char* tasks = environment("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  TITAN_ASSIGN_OR_RETURN(env.rank, required_int("SLURM_PROCID", tasks));
  TITAN_ASSIGN_OR_RETURN(env.world_size, required_int(tasks, "SLURM_PROCID"));
  TITAN_ASSIGN_OR_RETURN(env.local_rank, int_or("SLURM_LOCALID", 0));
  TITAN_ASSIGN_OR_RETURN(env.local_world_size, slurm_local_world_size(env.world_size));
  TITAN_RETURN_IF_ERROR(find_slurm_master(env));
  return env;
}

}  // namespace

StatusOr<RankEnv> rank_env_from_environment() {
  StatusOr<RankEnv> env = RankEnv{};
  if (environment("RANK") || environment("WORLD_SIZE")) {
    env = from_torchrun();
  } else if (is_slurm_task()) {
    env = from_slurm();
  }
  if (!env.ok()) return env.status();
  TITAN_RETURN_IF_ERROR(validate(*env));
  return env;
}

bool log_rank_selected(int rank) {
  std::istringstream list(environment("LOG_RANK").value_or("0"));
  std::string item;
  while (std::getline(list, item, ',')) {
    if (item == std::to_string(rank)) return true;
  }
  return false;
}

}  // namespace titan
