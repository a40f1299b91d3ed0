#include "titan/report/run_files.h"

#include <algorithm>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "titan/base/check.h"
#include "titan/train/run_folder.h"

using namespace titan::report;
using titan::message_of;
using titan::testing::TemporaryFolder;

namespace {

const std::string kLine =
    R"({"kind":"train","step":1,"samples":8,"loss":1,"step_s":2,"data_wait_share":0.25})"
    "\n";

bool noted(const RunFiles& run, const std::string& text) {
  return std::any_of(run.notes.begin(), run.notes.end(),
                     [&](const std::string& note) { return note.find(text) != std::string::npos; });
}

}  // namespace

TEST_CASE("A folder that is no run's is bad input", "[report]") {
  const TemporaryFolder folder;
  folder.write("notes.txt", "a file");
  for (const std::string& path :
       {folder.path().string(), folder.file("none"), folder.file("notes.txt")}) {
    const auto run = read_run(path);
    REQUIRE_FALSE(run.ok());
    REQUIRE(titan::exit_code_for(run.status()) == 2);
    REQUIRE(message_of(run.status()).find(path) != std::string::npos);
  }
}

TEST_CASE("Whatever is missing or cut short is said, the rest is read", "[report]") {
  const TemporaryFolder folder;
  folder.write("run/config.toml", "[training]\nsteps = 1\n");
  auto run = read_run(folder.path() / "run");
  REQUIRE(run.ok());
  REQUIRE(run->name == "run");
  REQUIRE(noted(*run, "run.json is missing"));
  REQUIRE(noted(*run, "metrics.jsonl is missing"));
  REQUIRE(run->settings->at("training.steps") == "1");
  REQUIRE(run->state == RunState::kEnded);

  folder.write("run/config.toml", "[training\nsteps");
  folder.write("run/run.json", "{\"seed\": 3");
  folder.write("run/metrics.jsonl", "{\"kind\":\"tr");
  folder.write("run/trace/rank-00000.json", "{\"steps\":[{\"st");
  folder.write("run/samples/step-000001.png", "no picture");
  run = read_run(folder.path() / "run/");  // a name with a slash behind it
  REQUIRE(run.ok());
  REQUIRE(run->name == "run");
  REQUIRE(noted(*run, "config.toml cannot be read"));
  REQUIRE(noted(*run, "run.json is cut short"));
  REQUIRE(noted(*run, "the last line of metrics.jsonl is not complete"));
  REQUIRE(noted(*run, "no training step yet"));
  REQUIRE(noted(*run, "rank-00000.json cannot be read as a trace"));
  REQUIRE(run->grids.size() == 1);
  REQUIRE_FALSE(run->settings.has_value());
}

TEST_CASE("A run is finished, stopped, ended without a word, or alive", "[report]") {
  const TemporaryFolder folder;
  const std::string run = folder.file("run");
  const auto state = [&] { return read_run(run)->state; };
  folder.write("run/metrics.jsonl", kLine);
  REQUIRE(state() == RunState::kEnded);
  REQUIRE(noted(*read_run(run), "without a word"));
  folder.write("run/config.toml", "[training]\nsteps = 2\n");
  REQUIRE(state() == RunState::kEnded);
  folder.write("run/metrics.jsonl", kLine + R"({"kind":"event","step":1,"event":"stop"})"
                                            "\n");
  REQUIRE(state() == RunState::kStopped);
  folder.write("run/metrics.jsonl", kLine + R"({"kind":"event","step":1,"event":"target"})"
                                            "\n");
  REQUIRE(state() == RunState::kFinished);
  folder.write("run/config.toml", "[training]\nsteps = 1\n");
  folder.write("run/metrics.jsonl", kLine);
  REQUIRE(state() == RunState::kFinished);
  {
    const auto held = titan::RunFolder::open(run);
    REQUIRE(held.ok());
    REQUIRE(state() == RunState::kRunning);
    REQUIRE(is_locked(run));
  }
  REQUIRE_FALSE(is_locked(run));
  REQUIRE(state() == RunState::kFinished);
  // The lock of a run on another host cannot be seen: a file that is written counts.
  folder.write("run/.lock", "host elsewhere, pid 1");
  REQUIRE(state() == RunState::kRunning);
  std::filesystem::last_write_time(
      run + "/metrics.jsonl",
      std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  REQUIRE(state() == RunState::kFinished);
}

TEST_CASE("A run that failed says why", "[report]") {
  const TemporaryFolder folder;
  const std::string run = folder.file("run");
  const std::string failed =
      R"({"kind":"event","step":1,"event":"failed","cause":"the gradient is nan"})"
      "\n";
  folder.write("run/metrics.jsonl", kLine + failed);
  REQUIRE(read_run(run)->state == RunState::kFailed);
  REQUIRE(read_run(run)->failure == "the gradient is nan");
  REQUIRE(noted(*read_run(run), "the run failed: the gradient is nan"));
  // One that went on since has not.
  const std::string resume = R"({"kind":"event","step":1,"event":"resume"})"
                             "\n";
  const std::string later = R"({"kind":"train","step":2,"samples":16,"loss":1,"step_s":2})"
                            "\n";
  for (const std::string& after : {resume, later}) {
    folder.write("run/metrics.jsonl", kLine + failed + after);
    REQUIRE(read_run(run)->state == RunState::kEnded);
  }
  // A stall ends a run without a line: its trace has the words.
  folder.write("run/metrics.jsonl", kLine);
  const auto trace = [&](const std::string& reason, int step) {
    folder.write("run/trace/rank-00001.json",
                 titan::str_cat(R"({"rank":1,"reason":")", reason, R"(","steps":[{"step":)", step,
                                R"(,"ended":false,"seconds":1,"exposed_s":0}]})"));
    return read_run(run)->failure;
  };
  REQUIRE(trace("[stall] rank 1 stands still\\nin step 2", 2) == "[stall] rank 1 stands still");
  REQUIRE(read_run(run)->state == RunState::kFailed);
  folder.write("run/metrics.jsonl", kLine + R"({"kind":"event","step":1,"event":"finish"})"
                                            "\n");
  REQUIRE(read_run(run)->state == RunState::kFinished);
  folder.write("run/metrics.jsonl", kLine);
  REQUIRE(trace("[stall] of an earlier attempt", 0).empty());
  REQUIRE(trace("asked for by SIGUSR2", 2).empty());
  REQUIRE(trace("trace.write_at", 2).empty());
  REQUIRE(read_run(run)->state == RunState::kEnded);
}

TEST_CASE("A run that goes on says how many steps and how much time are left", "[report]") {
  const TemporaryFolder folder;
  const std::string run = folder.file("run");
  folder.write("run/config.toml", "[training]\nsteps = 1000\n");
  std::string lines;
  for (int step = 100; step <= 400; step += 100)
    lines += titan::str_cat(R"({"kind":"train","step":)", step, R"(,"samples":)", step,
                            R"(,"loss":1,"step_s":0.5,"time":)", step, "}\n");
  folder.write("run/metrics.jsonl", lines);
  REQUIRE_FALSE(read_run(run)->left_s.has_value());
  const auto held = titan::RunFolder::open(run);
  REQUIRE(held.ok());
  REQUIRE(read_run(run)->num_steps == 1000);
  REQUIRE(*read_run(run)->left_s == Approx(600));  // a second each, pauses and all
}

TEST_CASE("Looking at a run never takes its lock", "[report]") {
  const TemporaryFolder folder;
  folder.write("run/metrics.jsonl", kLine);
  REQUIRE(read_run(folder.path() / "run").ok());
  REQUIRE_FALSE(std::filesystem::exists(folder.file("run/.lock")));
  { REQUIRE(titan::RunFolder::open(folder.file("run")).ok()); }
  // A run may start at any instant of it.
  for (int i = 0; i < 200; ++i) {
    REQUIRE_FALSE(is_locked(folder.path() / "run"));
    REQUIRE(titan::RunFolder::open(folder.file("run")).ok());
  }
}

TEST_CASE("Time is shared out among work, waiting and pauses", "[report]") {
  const TemporaryFolder folder;
  folder.write(
      "run/metrics.jsonl",
      kLine + R"({"kind":"train","step":11,"samples":88,"loss":1,"step_s":2,"data_wait_share":0.1})"
              "\n"
              R"({"kind":"eval","step":11,"loss":1,"seconds":5})"
              "\n"
              R"({"kind":"event","step":11,"event":"checkpoint","seconds":3})"
              "\n"
              R"({"kind":"event","step":11,"event":"sample","seconds":2})"
              "\n");
  folder.write("run/trace/rank-00000.json",
               R"({"rank":0,"steps":[{"step":9,"ended":true,"seconds":2.0,"exposed_s":0.5},)"
               R"({"step":10,"ended":true,"seconds":2.0,"exposed_s":0.25},)"
               R"({"step":11,"ended":false,"seconds":100.0,"exposed_s":100.0}]})");
  folder.write("run/trace/rank-00001.json",
               R"({"rank":1,"steps":[{"step":10,"ended":true,"seconds":4.0,"exposed_s":0.25}]})");
  folder.write("run/trace/rank-00000.chrome.json", "{}");
  const auto run = read_run(folder.path() / "run");
  REQUIRE(run.ok());
  REQUIRE(run->exposed->share == Approx(0.125));  // 1 s of 8; a step that never ended says nothing
  REQUIRE(run->exposed->ranks == 2);
  REQUIRE(run->exposed->first_step == 9);
  REQUIRE(run->exposed->last_step == 10);
  const auto shares = time_shares(run->records, run->exposed);
  REQUIRE(shares.size() == 6);
  // 22 s of steps: 0.5 + 2 s of waiting for data, an eighth exposed.
  REQUIRE(shares[1].second == Approx(2.5));
  REQUIRE(shares[2].second == Approx(2.75));
  REQUIRE(shares[0].second == Approx(22 - 2.5 - 2.75));
  REQUIRE(shares[3].second == Approx(5));
  REQUIRE(shares[4].second == Approx(3));
  REQUIRE(shares[5].second == Approx(2));
}
