#include "tests/support/catch.h"

#include "titan/parallel/process_group.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cstdlib>
#include <filesystem>

#include "titan/parallel/cpu_share.h"

#include "tests/support/process.h"

using Catch::Matchers::Contains;
using titan::testing::ProcessResult;

namespace {

ProcessResult run_job(const std::string& mode, std::map<std::string, std::string> variables) {
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (const char* name :
       {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT", "OMP_NUM_THREADS", "SLURM_STEP_ID"})
    variables.emplace(name, "");
  variables.emplace("LOG_RANK", "0,1,2");
  return titan::testing::run({(folder / "rank_program").string(), mode}, variables, 90);
}

}  // namespace

TEST_CASE("A group of one opens nothing", "[parallel]") {
  auto group = titan::parallel::ProcessGroupGuard::create({}).value();
  REQUIRE(group->world_size() == 1);
  REQUIRE(group->open_group("alone", {0}).size() == 1);
  REQUIRE(group->control().all_gather_text("x").size() == 1);
  group->use_train_timeout();
  group->close();
}

TEST_CASE("Ranks meet, reduce and part in order", "[parallel]") {
  const char* ranks = GENERATE("2", "3");
  const ProcessResult result = run_job("fine", {{"NGPU", ranks}});
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  for (const char* rank : {"0", "1"})
    REQUIRE_THAT(result.output, Contains(std::string("[rank ") + rank + "] sum " +
                                         (*ranks == '2' ? "3" : "6") + " of " + ranks));
  REQUIRE_FALSE(result.mentions("[launcher]"));
  REQUIRE_FALSE(result.mentions("TCPStore"));  // no noise of LibTorch's
  REQUIRE(result.mentions("more ranks than cores") ==
          (std::atoi(ranks) > titan::parallel::available_cores()));
}

TEST_CASE("A rank's failure ends the others soon, with its cause and its exit code", "[parallel]") {
  const char* culprit = GENERATE("0", "1");
  const ProcessResult result = run_job("fail", {{"NGPU", "2"}, {"CULPRIT", culprit}});
  INFO(result.output);
  REQUIRE(result.exit_code == 5);
  REQUIRE_THAT(result.output, Contains(std::string("[parallel] rank ") + culprit +
                                       " failed: [test] the disk is full (free=0); rank "));
  REQUIRE_FALSE(result.mentions("does not end"));  // the launcher had nobody to kill
}

TEST_CASE("A killed rank ends the job, whichever it is", "[parallel]") {
  const char* culprit = GENERATE("0", "1");
  const ProcessResult result = run_job("kill", {{"NGPU", "2"}, {"CULPRIT", culprit}});
  INFO(result.output);
  REQUIRE(result.exit_code == 1);
  REQUIRE_THAT(result.output, Contains(std::string("rank ") + culprit + " was killed by signal 9"));
  REQUIRE_FALSE(result.mentions("does not end"));  // the launcher had nobody to kill
}

TEST_CASE("A hung rank ends the job when the timeout of training has passed", "[parallel]") {
  const ProcessResult result = run_job("hang", {{"NGPU", "2"}, {"CULPRIT", "1"}});
  INFO(result.output);
  REQUIRE(result.exit_code == 5);
  REQUIRE_THAT(result.output, Contains("[parallel] all-reduce over 2 ranks failed on rank 0"));
}

TEST_CASE("A rank that leaves in silence does not hang the others", "[parallel]") {
  const ProcessResult result = run_job("leave", {{"NGPU", "2"}, {"CULPRIT", "1"}});
  INFO(result.output);
  REQUIRE(result.exit_code == 5);
  REQUIRE_FALSE(result.mentions("does not end"));
}

TEST_CASE("A rank that never comes is named", "[parallel]") {
  const ProcessResult result = run_job("absent", {{"NGPU", "3"}});
  INFO(result.output);
  REQUIRE(result.exit_code != 0);
  REQUIRE_THAT(result.output, Contains("[parallel] ranks missing after 4 s: 1"));
}

TEST_CASE("A port in use is bad input and named", "[parallel]") {
  const int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_any;
  socklen_t size = sizeof(address);
  if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0) {
    TITAN_SKIP("no IPv6 socket on this machine");
  }
  REQUIRE(listen(listener, 1) == 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  const std::string port = std::to_string(ntohs(address.sin6_port));
  const ProcessResult result = run_job("fine", {{"NGPU", "2"}, {"MASTER_PORT", port}});
  close(listener);
  INFO(result.output);
  REQUIRE(result.exit_code == 2);
  REQUIRE_THAT(result.output,
               Contains("[parallel] port " + port + " is in use; set MASTER_PORT to a free one"));
}
