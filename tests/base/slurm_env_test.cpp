#include "tests/support/catch.h"

#include "titan/base/slurm_env.h"

#include <cstdlib>
#include <map>

using titan::expand_host_list;
using titan::expand_task_counts;
using Hosts = std::vector<std::string>;

namespace {

using Variables = std::map<std::string, std::string>;

/// Sets these variables for the life of the object; the names are unset before and after.
class ScopedEnvironment {
 public:
  explicit ScopedEnvironment(const std::map<std::string, std::string>& variables) {
    clear();
    for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
  }
  ~ScopedEnvironment() { clear(); }

 private:
  static void clear() {
    for (const char* name :
         {"SLURM_JOB_ID", "SLURM_JOBID", "SLURM_STEP_ID", "SLURM_PROCID", "SLURM_NODEID",
          "SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_STEP_NUM_NODES",
          "SLURM_JOB_NUM_NODES", "SLURM_STEP_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE",
          "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_PTY_PORT", "SLURM_LAUNCH_NODE_IPADDR"})
      unsetenv(name);
  }
};

bool all_known(const std::string& /*host*/) { return true; }
bool none_known(const std::string& /*host*/) { return false; }

}  // namespace

TEST_CASE("host lists are written out, zeros and several brackets included", "[base]") {
  CHECK(*expand_host_list("n1") == Hosts{"n1"});
  CHECK(*expand_host_list("n[1-2,07-09],m3") == Hosts{"n1", "n2", "n07", "n08", "n09", "m3"});
  CHECK(*expand_host_list("n[098-101]") == Hosts{"n098", "n099", "n100", "n101"});
  CHECK(*expand_host_list("r[1-2]n[3,5]-ib") == Hosts{"r1n3-ib", "r1n5-ib", "r2n3-ib", "r2n5-ib"});
  CHECK(*expand_host_list("gpu-a.b.org,gpu-[10].b.org") == Hosts{"gpu-a.b.org", "gpu-10.b.org"});
}

TEST_CASE("what is no host list is refused and shown", "[base]") {
  for (const char* list : {"", "n1,", ",n1", "n[1-2", "n1]", "n[[1]]", "n[]", "n[a-b]", "n[3-1]",
                           "n[1-99999999]", "n[1-2,]", "n[-1]", "a[1-300]b[1-300]"}) {
    const auto hosts = expand_host_list(list);
    INFO(list);
    REQUIRE_FALSE(hosts.ok());
    CHECK(titan::exit_code_for(hosts.status()) == 2);
    CHECK(titan::message_of(hosts.status()).find(list) != std::string::npos);
  }
}

TEST_CASE("tasks per node are written out", "[base]") {
  CHECK(*expand_task_counts("8") == std::vector<int>{8});
  CHECK(*expand_task_counts("8(x2),3") == std::vector<int>{8, 8, 3});
  for (const char* counts : {"", "x", "8(x2", "8(x0)", "8(x)", "8,", "-1", "8(y2)"}) {
    INFO(counts);
    CHECK_FALSE(expand_task_counts(counts).ok());
  }
}

TEST_CASE("a node's ranks come from its place in the step", "[base]") {
  {
    const ScopedEnvironment env(
        Variables{{"SLURM_STEP_TASKS_PER_NODE", "8(x2),3"}, {"SLURM_NODEID", "2"}});
    CHECK(*titan::slurm_local_world_size(19) == 3);
  }
  {
    const ScopedEnvironment env(Variables{{"SLURM_NTASKS_PER_NODE", "4"}, {"SLURM_NODEID", "1"}});
    CHECK(*titan::slurm_local_world_size(8) == 4);
  }
  {
    const ScopedEnvironment env(Variables{{"SLURM_JOB_NUM_NODES", "1"}});
    CHECK(*titan::slurm_local_world_size(6) == 6);
  }
  {
    const ScopedEnvironment env(Variables{{"SLURM_JOB_NUM_NODES", "2"}});
    CHECK_FALSE(titan::slurm_local_world_size(6).ok());
  }
  const ScopedEnvironment env(
      Variables{{"SLURM_STEP_TASKS_PER_NODE", "8(x2)"}, {"SLURM_NODEID", "2"}});
  CHECK(titan::message_of(titan::slurm_local_world_size(16).status()).find("no node 2") !=
        std::string::npos);
}

TEST_CASE("only a task of srun's is a rank, a shell is not", "[base]") {
  const std::map<std::string, std::string> task = {
      {"SLURM_STEP_ID", "0"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "1"}};
  const auto with = [&](const char* name, const char* value) {
    auto variables = task;
    variables[name] = value;
    const ScopedEnvironment env(variables);
    return titan::is_slurm_task();
  };
  CHECK(with("SLURM_NTASKS", "1"));
  CHECK_FALSE(with("SLURM_STEP_ID", ""));
  CHECK_FALSE(with("SLURM_STEP_ID", "4294967290"));  // salloc's shell on a node
  CHECK_FALSE(with("SLURM_STEP_ID", "4294967291"));  // a batch script
  CHECK_FALSE(with("SLURM_PTY_PORT", "40000"));      // srun --pty bash
  auto several = task;
  several["SLURM_PTY_PORT"] = "40000";
  several["SLURM_NTASKS"] = "2";
  const ScopedEnvironment env(several);
  CHECK(titan::is_slurm_task());
}

TEST_CASE("the ranks of several nodes never meet on localhost unsaid", "[base]") {
  std::map<std::string, std::string> step = {{"SLURM_JOB_ID", "12"},
                                             {"SLURM_STEP_ID", "0"},
                                             {"SLURM_STEP_NUM_NODES", "2"},
                                             {"SLURM_JOB_NODELIST", "a[1-4]"},
                                             {"SLURM_STEP_NODELIST", "a[3-4]"}};
  {
    const ScopedEnvironment env(step);
    const auto place = titan::slurm_meeting_place(all_known);
    REQUIRE(place.ok());
    CHECK(place->address == "a3");
    CHECK(place->port == 16384 + 12);
    CHECK(place->note.empty());
    const auto lost = titan::slurm_meeting_place(none_known);
    REQUIRE_FALSE(lost.ok());
    CHECK(titan::message_of(lost.status()).find("a3, has no address here; set MASTER_ADDR") !=
          std::string::npos);
  }
  step["SLURM_LAUNCH_NODE_IPADDR"] = "10.0.0.7";
  {
    const ScopedEnvironment env(step);
    const auto place = titan::slurm_meeting_place(none_known);
    REQUIRE(place.ok());
    CHECK(place->address == "10.0.0.7");
    CHECK(place->note.find("a3 has no address here") != std::string::npos);
  }
  step["SLURM_STEP_NUM_NODES"] = "1";
  const ScopedEnvironment env(step);
  CHECK(titan::slurm_meeting_place(none_known)->address == "127.0.0.1");
}
