// Jobs in processes of their own, ended from outside.
#include "tests/support/catch.h"
// First of all: Catch2 and LibTorch share macros.
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/preprocess/fake_job.h"
#include "tests/support/process.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

/// 12 or 13 units of 7 samples.
std::vector<std::string> job(const std::string& output, const std::string& format, int batch,
                             int delay_ms) {
  return {TITAN_BINARY_FOLDER "/preprocess_program",
          output,
          format,
          "85",
          std::to_string(batch),
          std::to_string(delay_ms)};
}

std::map<std::string, std::string> ranks(int count) {
  return {{"NGPU", count == 1 ? "" : std::to_string(count)}};
}

int64_t units_done(const std::string& work) {
  int64_t count = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(work + "/units", ignored))
    count += entry.path().extension() == ".json" ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("kill -9 at any moment, any number of times: the files in the end are the same",
          "[preprocess]") {
  const TemporaryFolder folder;
  REQUIRE(run(job(folder / "whole", "rows", 3, 0)).exit_code == 0);
  const auto expected = contents_of(folder / "whole");
  REQUIRE(expected.size() >= 14);
  int kills = 0;
  unsigned state = 2026;  // pauses that differ, the same each time
  for (int attempt = 0; attempt < 30; ++attempt) {
    const int num_ranks = 1 + attempt % 2;
    Process process(job(folder / "out", "rows", 2 + attempt % 4, 8), ranks(num_ranks));
    REQUIRE(process.wait_for_output("pid", 60));
    state = state * 1664525 + 1013904223;
    std::this_thread::sleep_for(std::chrono::milliseconds(state >> 24));
    process.signal(SIGKILL);
    const ProcessResult result = process.wait();
    INFO(result.output);
    if (result.exit_code == 0) break;
    REQUIRE(result.exit_code == 128 + SIGKILL);
    ++kills;
    // Ranks of a killed launcher end by themselves; until then the folder is theirs.
    std::this_thread::sleep_for(std::chrono::milliseconds(num_ranks == 1 ? 0 : 400));
    if (units_done(folder / ".tmp-out") >= 10) break;
  }
  CHECK(kills >= 2);
  const ProcessResult last = run(job(folder / "out", "rows", 5, 0), ranks(2));
  INFO(last.output);
  REQUIRE(last.exit_code == 0);
  CHECK(contents_of(folder / "out") == expected);
}

TEST_CASE("SIGTERM ends a job of two ranks with exit code 3 between units; the next one goes on",
          "[preprocess]") {
  const TemporaryFolder folder;
  Process process(job(folder / "out", "arrow", 3, 30), ranks(2));
  REQUIRE(process.wait_for_output("samples/s", 60));
  process.signal(SIGTERM);
  const ProcessResult stopped = process.wait();
  INFO(stopped.output);
  REQUIRE(stopped.exit_code == 3);
  CHECK(stopped.mentions("stopped by a signal"));
  const int64_t done = units_done(folder / ".tmp-out");
  CHECK(done >= 2);
  CHECK(done < 13);
  for (const auto& [name, bytes] : contents_of(folder / ".tmp-out"))
    CHECK(name.find(".tmp-") == std::string::npos);
  const ProcessResult rest = run(job(folder / "out", "arrow", 3, 0), ranks(3));
  INFO(rest.output);
  REQUIRE(rest.exit_code == 0);
  CHECK(rest.mentions("going on"));
  REQUIRE(run(job(folder / "whole", "arrow", 3, 0)).exit_code == 0);
  CHECK(contents_of(folder / "out") == contents_of(folder / "whole"));
}

TEST_CASE("a second job on the folder of a running one is refused with host and pid",
          "[preprocess]") {
  const TemporaryFolder folder;
  Process first(job(folder / "out", "arrow", 3, 100));
  REQUIRE(first.wait_for_output("samples/s", 60));
  const ProcessResult second = run(job(folder / "out", "arrow", 3, 0), ranks(2));
  INFO(second.output);
  CHECK(second.exit_code == 2);
  CHECK(second.mentions("pid " + std::to_string(first.pid())));
  first.signal(SIGTERM);
  CHECK(first.wait().exit_code == 3);
}
