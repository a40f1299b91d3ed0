#include "tests/support/catch.h"

#include "titan/base/rank_env.h"

#include <cstdlib>
#include <map>

namespace {
/// Sets exactly these rank variables for the life of the object.
class ScopedEnvironment {
 public:
  explicit ScopedEnvironment(const std::map<std::string, std::string>& variables) {
    for (const char* name : kNames) unsetenv(name);
    for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
  }
  ~ScopedEnvironment() {
    for (const char* name : kNames) unsetenv(name);
  }

 private:
  static constexpr const char* kNames[] = {"RANK",
                                           "LOCAL_RANK",
                                           "WORLD_SIZE",
                                           "LOCAL_WORLD_SIZE",
                                           "MASTER_ADDR",
                                           "MASTER_PORT",
                                           "SLURM_PROCID",
                                           "SLURM_LOCALID",
                                           "SLURM_NTASKS",
                                           "SLURM_NTASKS_PER_NODE",
                                           "SLURM_STEP_ID",
                                           "LOG_RANK",
                                           "SLURM_STEP_NUM_TASKS",
                                           "SLURM_STEP_TASKS_PER_NODE",
                                           "SLURM_NODEID",
                                           "SLURM_JOB_ID",
                                           "SLURM_JOBID",
                                           "SLURM_STEP_NODELIST",
                                           "SLURM_JOB_NODELIST",
                                           "SLURM_STEP_NUM_NODES",
                                           "SLURM_JOB_NUM_NODES",
                                           "SLURM_LAUNCH_NODE_IPADDR",
                                           "SLURM_PTY_PORT"};
};
}  // namespace

TEST_CASE("without rank variables the process is alone", "[base]") {
  const ScopedEnvironment env({});
  const auto rank = titan::rank_env_from_environment();
  REQUIRE(rank.ok());
  REQUIRE(rank->world_size == 1);
  REQUIRE(rank->is_main());
}

TEST_CASE("torchrun's variables are read", "[base]") {
  const ScopedEnvironment env({{"RANK", "3"},
                               {"WORLD_SIZE", "4"},
                               {"LOCAL_RANK", "1"},
                               {"LOCAL_WORLD_SIZE", "2"},
                               {"MASTER_ADDR", "n1"},
                               {"MASTER_PORT", "29500"}});
  const auto rank = titan::rank_env_from_environment();
  REQUIRE(rank.ok());
  REQUIRE(rank->rank == 3);
  REQUIRE(rank->local_rank == 1);
  REQUIRE(rank->world_size == 4);
  REQUIRE(rank->local_world_size == 2);
  REQUIRE(rank->master_addr == "n1");
  REQUIRE(rank->master_port == 29500);
}

TEST_CASE("srun's variables count only inside a step", "[base]") {
  const std::map<std::string, std::string> batch = {{"SLURM_PROCID", "1"},
                                                    {"SLURM_NTASKS", "2"},
                                                    {"SLURM_LOCALID", "0"},
                                                    {"MASTER_ADDR", "n1"},
                                                    {"MASTER_PORT", "29500"}};
  {
    const ScopedEnvironment env(batch);
    REQUIRE(titan::rank_env_from_environment()->world_size == 1);
  }
  auto step = batch;
  step["SLURM_STEP_ID"] = "0";
  const ScopedEnvironment env(step);
  const auto rank = titan::rank_env_from_environment();
  REQUIRE(rank.ok());
  REQUIRE(rank->rank == 1);
  REQUIRE(rank->world_size == 2);
  REQUIRE(rank->source == "slurm");
}

TEST_CASE("an srun step alone says where its ranks meet", "[base]") {
  std::map<std::string, std::string> step = {{"SLURM_PROCID", "3"},
                                             {"SLURM_LOCALID", "0"},
                                             {"SLURM_NODEID", "1"},
                                             {"SLURM_NTASKS", "4"},
                                             {"SLURM_STEP_ID", "2"},
                                             {"SLURM_JOB_ID", "70000"},
                                             {"SLURM_STEP_NUM_NODES", "2"},
                                             {"SLURM_STEP_NODELIST", "127.0.0.[1-2]"},
                                             {"SLURM_STEP_TASKS_PER_NODE", "3,1"}};
  {
    const ScopedEnvironment env(step);
    const auto rank = titan::rank_env_from_environment();
    REQUIRE(rank.ok());
    CHECK(rank->rank == 3);
    CHECK(rank->local_world_size == 1);
    CHECK(rank->master_addr == "127.0.0.1");
    CHECK(rank->master_port == 16384 + (70000 + 2 * 4099) % 16384);
  }
  step["MASTER_ADDR"] = "head";
  step["MASTER_PORT"] = "4321";
  {
    const ScopedEnvironment env(step);
    CHECK(titan::rank_env_from_environment()->master_addr == "head");
    CHECK(titan::rank_env_from_environment()->master_port == 4321);
  }
  step.erase("MASTER_ADDR");
  {
    const ScopedEnvironment env(step);
    CHECK(titan::rank_env_from_environment()->master_addr == "127.0.0.1");
    CHECK(titan::rank_env_from_environment()->master_port == 4321);
  }
}

TEST_CASE("missing, malformed and contradicting rank variables are named", "[base]") {
  const auto message = [](const std::map<std::string, std::string>& variables) {
    const ScopedEnvironment env(variables);
    const auto rank = titan::rank_env_from_environment();
    REQUIRE_FALSE(rank.ok());
    REQUIRE(titan::exit_code_for(rank.status()) == 2);
    return titan::message_of(rank.status());
  };
  REQUIRE(message({{"RANK", "0"}}).find("WORLD_SIZE is not") != std::string::npos);
  REQUIRE(message({{"RANK", "x"}, {"WORLD_SIZE", "2"}}).find("RANK=\"x\"") != std::string::npos);
  REQUIRE(message({{"RANK", "0"}, {"WORLD_SIZE", "2"}}).find("MASTER_ADDR") != std::string::npos);
  REQUIRE(message({{"RANK", "2"},
                   {"WORLD_SIZE", "2"},
                   {"LOCAL_RANK", "0"},
                   {"MASTER_ADDR", "h"},
                   {"MASTER_PORT", "1"}})
              .find("rank=2, world_size=2") != std::string::npos);
  std::map<std::string, std::string> step = {{"SLURM_PROCID", "0"},
                                             {"SLURM_NTASKS", "2"},
                                             {"SLURM_STEP_ID", "0"},
                                             {"SLURM_STEP_NUM_NODES", "2"},
                                             {"SLURM_NTASKS_PER_NODE", "1"}};
  REQUIRE(message(step).find("SLURM_JOB_ID is not set") != std::string::npos);
  step["SLURM_JOB_ID"] = "5";
  REQUIRE(message(step).find("SLURM_JOB_NODELIST says where rank 0 is") != std::string::npos);
  step["SLURM_STEP_NODELIST"] = "n[1-";
  REQUIRE(message(step).find("\"n[1-\" is no host list") != std::string::npos);
  step.erase("SLURM_NTASKS_PER_NODE");
  REQUIRE(message(step).find("--ntasks-per-node") != std::string::npos);
}

TEST_CASE("LOG_RANK is a comma list with default 0", "[base]") {
  {
    const ScopedEnvironment env({});
    REQUIRE(titan::log_rank_selected(0));
    REQUIRE_FALSE(titan::log_rank_selected(1));
  }
  const ScopedEnvironment env(std::map<std::string, std::string>{{"LOG_RANK", "1,12"}});
  REQUIRE_FALSE(titan::log_rank_selected(0));
  REQUIRE(titan::log_rank_selected(12));
  REQUIRE_FALSE(titan::log_rank_selected(2));
}
