#include "tests/support/catch.h"

#include "titan/train/launcher.h"

#include <unistd.h>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

#include "titan/parallel/cpu_share.h"

#include "tests/support/process.h"

using Catch::Matchers::Contains;
using titan::testing::Process;
using titan::testing::ProcessResult;

namespace {

using Variables = std::map<std::string, std::string>;

std::vector<std::string> command(std::vector<std::string> arguments) {
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  arguments.insert(arguments.begin(), (folder / "launcher_program").string());
  return arguments;
}

/// An environment in which only the test's own rank variables count.
Variables variables(const Variables& added) {
  Variables all{{"RANK", ""},          {"WORLD_SIZE", ""},   {"LOCAL_RANK", ""},
                {"MASTER_PORT", ""},   {"LOG_RANK", ""},     {"OMP_NUM_THREADS", ""},
                {"SLURM_STEP_ID", ""}, {"SLURM_PROCID", ""}, {"NGPU", ""},
                {"MAX_RESTARTS", ""}};
  for (const auto& [name, value] : added) all[name] = value;
  return all;
}

ProcessResult launch(std::vector<std::string> arguments, const Variables& added) {
  return titan::testing::run(command(std::move(arguments)), variables(added), 60);
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t number = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++number;
  return number;
}

bool alive(int pid) {  // a zombie is not alive
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  return static_cast<bool>(stat >> number >> name >> state) && state != "Z";
}

}  // namespace

TEST_CASE("Without NGPU, with NGPU=1, and under torchrun or srun there is nothing to launch",
          "[train]") {
  const Variables added =
      GENERATE(Variables{}, Variables{{"NGPU", "1"}},
               Variables{{"NGPU", "4"}, {"RANK", "0"}, {"WORLD_SIZE", "1"}},
               Variables{{"NGPU", "4"}, {"SLURM_STEP_ID", "0"}, {"SLURM_PROCID", "0"}});
  const ProcessResult result = launch({"environment", "x"}, added);
  REQUIRE(result.exit_code == 0);
  REQUIRE(count(result.output, "WORLD_SIZE=") == 2);  // LOCAL_WORLD_SIZE too: one process printed
  REQUIRE_FALSE(result.mentions("[rank"));
}

TEST_CASE("Ranks get torchrun's variables and all arguments, lines get a prefix", "[train]") {
  const ProcessResult result =
      launch({"environment", "--a.b=c d"}, {{"NGPU", "3"}, {"LOG_RANK", "0,2"}});
  REQUIRE(result.exit_code == 0);
  const std::string threads = std::to_string(titan::parallel::threads_per_rank(3));
  for (const char* rank : {"0", "2"}) {
    REQUIRE_THAT(result.output,
                 Contains(std::string("[rank ") + rank + "] RANK=" + rank + " LOCAL_RANK=" + rank +
                          " WORLD_SIZE=3 LOCAL_WORLD_SIZE=3 MASTER_ADDR=127.0.0.1 PORT_SET=1 OMP=" +
                          threads + " last=--a.b=c d\n"));
  }
  REQUIRE_FALSE(result.mentions("RANK=1"));
  // Warnings are shown whatever LOG_RANK says.
  REQUIRE_THAT(result.output,
               Contains("[rank 1] W20260101 00:00:00.000000 1 x.cpp:1] warning of 1\n"));
}

TEST_CASE("By default rank 0 is shown; what the user set is kept", "[train]") {
  const ProcessResult result = launch(
      {"environment", "x"}, {{"NGPU", "2"}, {"OMP_NUM_THREADS", "7"}, {"MASTER_PORT", "23456"}});
  REQUIRE_THAT(result.output, Contains("[rank 0] RANK=0") && Contains("OMP=7"));
  REQUIRE_FALSE(result.mentions("RANK=1"));
  REQUIRE_THAT(launch({"port"}, {{"NGPU", "2"}, {"MASTER_PORT", "23456"}}).output,
               Contains("port 23456"));
}

TEST_CASE("A bad NGPU is bad input", "[train]") {
  const char* value = GENERATE("0", "-2", "two", "2x");
  const ProcessResult result = launch({"port"}, {{"NGPU", value}});
  REQUIRE(result.exit_code == 2);
  REQUIRE_THAT(result.output, Contains("NGPU must be a positive number of ranks (NGPU=\"" +
                                       std::string(value) + "\")"));
}

TEST_CASE("When a rank fails the others end, and its exit code and last words are the job's",
          "[train]") {
  const ProcessResult result = launch({"fail", "1", "2"}, {{"NGPU", "3"}});
  REQUIRE(result.exit_code == 2);
  REQUIRE_THAT(result.output, Contains("[rank 1] the last words of rank 1\n"));
  REQUIRE_THAT(result.output, Contains("[launcher] rank 1 failed with exit code 2"));
  REQUIRE(count(result.output, "[launcher]") == 1);
}

TEST_CASE("A killed rank ends the job with 1, even where another does not listen", "[train]") {
  const ProcessResult result = launch({"kill"}, {{"NGPU", "2"}});
  REQUIRE(result.exit_code == 1);
  REQUIRE_THAT(result.output, Contains("[launcher] rank 1 was killed by signal 9 (Killed)"));
  REQUIRE_THAT(result.output, Contains("[launcher] rank 0 does not end: killing it"));
}

TEST_CASE("Signals reach every rank once; stopped ranks are no failure", "[train]") {
  const int number = GENERATE(SIGINT, SIGTERM, SIGUSR1);
  Process job(command({"work"}), variables({{"NGPU", "2"}, {"LOG_RANK", "0,1"}}));
  REQUIRE(job.wait_for_output("[rank 0] working", 30));
  REQUIRE(job.wait_for_output("[rank 1] working", 30));
  job.signal(number);
  const ProcessResult result = job.wait(30);
  REQUIRE(result.exit_code == 3);
  REQUIRE(count(result.output, "stopping for signal " + std::to_string(number)) == 2);
  REQUIRE_FALSE(result.mentions("[launcher]"));
}

TEST_CASE("A second signal ends the job at once with 128 + n", "[train]") {
  Process job(command({"linger"}), variables({{"NGPU", "2"}, {"LOG_RANK", "0,1"}}));
  REQUIRE(job.wait_for_output("[rank 0] working", 30));
  REQUIRE(job.wait_for_output("[rank 1] working", 30));
  job.signal(SIGTERM);
  REQUIRE(job.wait_for_output("[rank 0] stopping", 30));
  REQUIRE(job.wait_for_output("[rank 1] stopping", 30));
  job.signal(SIGINT);
  REQUIRE(job.wait(30).exit_code == 128 + SIGINT);
}

TEST_CASE("Ranks do not outlive a killed launcher", "[train]") {
  Process job(command({"work"}), variables({{"NGPU", "2"}, {"LOG_RANK", "0,1"}}));
  REQUIRE(job.wait_for_output("[rank 0] working, pid ", 30));
  REQUIRE(job.wait_for_output("[rank 1] working, pid ", 30));
  job.signal(SIGKILL);
  const ProcessResult result = job.wait(30);
  REQUIRE(result.exit_code == 128 + SIGKILL);
  for (std::size_t at = result.output.find("pid "); at != std::string::npos;
       at = result.output.find("pid ", at + 1)) {
    const int pid = std::stoi(result.output.substr(at + 4));
    for (int i = 0; alive(pid) && i < 1000; ++i) usleep(10000);
    REQUIRE_FALSE(alive(pid));
  }
}

TEST_CASE("A failed job is started again, with the cause and another port, until it is done",
          "[train]") {
  const char* ranks = GENERATE("1", "2");
  const ProcessResult result =
      launch({"attempts", "5", "7", "0"}, {{"NGPU", ranks}, {"MAX_RESTARTS", "3"}});
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  REQUIRE_THAT(result.output, Contains("attempt 0 after \"\""));
  REQUIRE_THAT(result.output, Contains(" failed with exit code 1\", port "));
  REQUIRE_THAT(result.output,
               Contains("[launcher] restart 1 of 3 from the last checkpoint; failed in step 5: "));
  REQUIRE_THAT(result.output,
               Contains("[launcher] restart 2 of 3 from the last checkpoint; failed in step 7: "));
  REQUIRE(count(result.output, "[launcher] restart") == 2);
  std::set<std::string> ports;
  for (std::size_t at = result.output.find("port "); at != std::string::npos;
       at = result.output.find("port ", at + 1))
    ports.insert(result.output.substr(at, result.output.find('\n', at) - at));
  REQUIRE(ports.size() == 3);
}

TEST_CASE("Attempts that fail in the same step, or too often, are the last", "[train]") {
  const ProcessResult same =
      launch({"attempts", "5", "8", "8", "0"}, {{"NGPU", "2"}, {"MAX_RESTARTS", "9"}});
  INFO(same.output);
  REQUIRE(same.exit_code == 1);
  REQUIRE_THAT(same.output, Contains("two attempts in a row failed in step 8"));
  REQUIRE(count(same.output, "[launcher] restart") == 2);
  const ProcessResult often =
      launch({"attempts", "5", "8", "11", "0"}, {{"NGPU", "2"}, {"MAX_RESTARTS", "2"}});
  INFO(often.output);
  REQUIRE(often.exit_code == 1);
  REQUIRE_THAT(often.output, Contains("MAX_RESTARTS=2 are used up"));
  const ProcessResult none = launch({"attempts", "5", "0"}, {{"NGPU", "2"}});
  REQUIRE(none.exit_code == 1);
  REQUIRE_FALSE(none.mentions("restart"));
}

TEST_CASE("Bad input, a stop and a bad MAX_RESTARTS start nothing again", "[train]") {
  const ProcessResult bad = launch({"fail", "1", "2"}, {{"NGPU", "2"}, {"MAX_RESTARTS", "3"}});
  REQUIRE(bad.exit_code == 2);
  REQUIRE_THAT(bad.output, Contains("it would be refused again"));
  Process job(command({"linger"}),
              variables({{"NGPU", "2"}, {"LOG_RANK", "0,1"}, {"MAX_RESTARTS", "3"}}));
  REQUIRE(job.wait_for_output("[rank 0] working", 30));
  REQUIRE(job.wait_for_output("[rank 1] working", 30));
  job.signal(SIGTERM);
  REQUIRE(job.wait_for_output("[rank 0] stopping", 30));
  REQUIRE(job.wait_for_output("[rank 1] stopping", 30));
  job.signal(SIGTERM);
  const ProcessResult stopped = job.wait(30);
  REQUIRE(stopped.exit_code == 128 + SIGTERM);
  REQUIRE_THAT(stopped.output, Contains("the launcher was told to stop"));
  const ProcessResult wrong = launch({"port"}, {{"MAX_RESTARTS", "-1"}});
  REQUIRE(wrong.exit_code == 2);
  REQUIRE_THAT(wrong.output, Contains("MAX_RESTARTS must be a number of restarts"));
}
