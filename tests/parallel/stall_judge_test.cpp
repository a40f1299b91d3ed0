#include "tests/support/catch.h"

#include "titan/parallel/stall_judge.h"

#include <algorithm>

using Catch::Matchers::Contains;
using titan::parallel::Beat;
using titan::parallel::StallJudge;
using titan::parallel::StallLimits;
using titan::parallel::StallReport;

namespace {

using Beats = std::vector<std::optional<Beat>>;

Beat computing(int64_t progress) {
  Beat beat;
  beat.progress = beat.of_step = progress;
  beat.step = 12;
  beat.phase = "step";
  beat.doing = "backward";
  beat.unit = "blocks.3";
  beat.last_work = "backward of blocks.3";
  beat.open = true;
  beat.cursor = 96;
  beat.first_slot = 100;
  beat.num_slots = 4;
  return beat;
}

Beat waiting(int64_t progress, const char* collective = "all-reduce") {
  Beat beat = computing(progress);
  beat.doing = "wait";
  beat.unit.clear();
  beat.collective = collective;
  return beat;
}

Beat reading(int64_t progress) {
  Beat beat = computing(progress);
  beat.doing = "data";
  beat.unit.clear();
  beat.note = "a.tar:7.jpg (global sample 101)";
  return beat;
}

constexpr StallLimits kLimits{.stall_s = 10, .patient_s = 60, .learn = false, .interval_s = 1};

/// Observes the same beats (counts go on) once a second; the report and the second it came in.
struct Verdict {
  std::optional<StallReport> report;
  int second = -1;
};
Verdict repeat(StallJudge& judge, Beats beats, int from, int to,
               const std::vector<int>& silent = {}) {
  for (int s = from; s <= to; ++s) {
    for (std::size_t r = 0; r < beats.size(); ++r) {
      const bool heard =
          std::find(silent.begin(), silent.end(), static_cast<int>(r)) == silent.end();
      if (beats[r] && heard) beats[r]->count = s + 1;
    }
    if (auto report = judge.observe(s, beats)) return {report, s};
  }
  return {};
}

}  // namespace

TEST_CASE("A job whose ranks get on is never reported", "[parallel]") {
  StallJudge judge(2, kLimits);
  for (int s = 0; s < 100; ++s) {
    Beats beats{computing(s), waiting(3)};  // one waits all the time: for one that works
    for (auto& beat : beats) beat->count = s;
    REQUIRE_FALSE(judge.observe(s, beats));
  }
}

TEST_CASE("A rank that waits for data is told apart from those that wait for it", "[parallel]") {
  StallJudge judge(3, kLimits);
  const Verdict verdict = repeat(judge, {waiting(5), reading(4), waiting(5)}, 0, 50);
  REQUIRE(verdict.second == 10);
  const StallReport& report = *verdict.report;
  CHECK(report.kind == StallReport::Kind::kData);
  CHECK(report.culprits == std::vector<int>{1});
  CHECK_THAT(report.text, Contains("[stall] data stall: rank 1, for 10 s: step 12, waits for data: "
                                   "a.tar:7.jpg (global sample 101); the other ranks wait"));
  CHECK_THAT(report.text,
             Contains("\n  ranks 0, 2: step 12, waits for all-reduce after backward of "
                      "blocks.3, global batch from sample 96, for 10 s"));
}

TEST_CASE("A rank that hangs in its own work is named with its block and samples", "[parallel]") {
  StallJudge judge(2, kLimits);
  const Verdict verdict = repeat(judge, {waiting(5), computing(4)}, 0, 50);
  REQUIRE(verdict.report);
  CHECK(verdict.report->kind == StallReport::Kind::kCompute);
  CHECK(verdict.report->culprits == std::vector<int>{1});
  CHECK_THAT(verdict.report->text,
             Contains("rank 1 not getting on for 10 s: step 12, in backward of blocks.3, global "
                      "samples 100 to 103"));
}

TEST_CASE("Where all look busy, as on a GPU, the ranks behind are named", "[parallel]") {
  StallJudge judge(3, kLimits);
  Beat early = computing(90);  // more in all, less of its step
  early.of_step = 2;
  const Verdict verdict = repeat(judge, {computing(9), early, computing(9)}, 0, 50);
  REQUIRE(verdict.report);
  CHECK(verdict.report->kind == StallReport::Kind::kCompute);
  CHECK(verdict.report->culprits == std::vector<int>{1});
}

TEST_CASE("Where all wait for each other the ranks behind are named", "[parallel]") {
  StallJudge judge(3, kLimits);
  const Verdict verdict = repeat(judge, {waiting(9), waiting(7, "all-gather"), waiting(9)}, 0, 50);
  REQUIRE(verdict.report);
  CHECK(verdict.report->kind == StallReport::Kind::kCommunication);
  CHECK(verdict.report->culprits == std::vector<int>{1});
  CHECK_THAT(verdict.report->text,
             Contains("in the collective all-gather; behind the others: rank 1"));
  StallJudge equal(2, kLimits);
  const Verdict nobody = repeat(equal, {waiting(9), waiting(9)}, 0, 50);
  REQUIRE(nobody.report);
  CHECK(nobody.report->culprits.empty());
}

TEST_CASE("A rank that is not heard of any more is found, whatever the others do", "[parallel]") {
  StallJudge judge(4, kLimits);
  REQUIRE_FALSE(
      repeat(judge, {computing(1), computing(1), computing(1), computing(1)}, 0, 3).report);
  Beats beats{computing(2), computing(1), computing(1), computing(2)};
  for (int s = 4; s < 50; ++s) {
    beats[0]->progress = beats[3]->progress = s;  // these get on
    const Verdict verdict = repeat(judge, beats, s, s, {1, 2});
    if (!verdict.report) continue;
    CHECK(s == 14);  // the last change of the count was seen in second 4
    CHECK(verdict.report->kind == StallReport::Kind::kSilent);
    CHECK(verdict.report->culprits == std::vector<int>{1, 2});
    CHECK_THAT(verdict.report->text, Contains("ranks 1, 2 have not been heard of for 10 s"));
    return;
  }
  FAIL("not noticed");
}

TEST_CASE("First steps and checkpoints have more time, and so has a rank that is not up yet",
          "[parallel]") {
  Beat patient = computing(4);
  patient.patient = true;
  StallJudge slow(2, kLimits);
  CHECK(repeat(slow, {waiting(4), patient}, 0, 100).second == 60);
  StallJudge absent(2, kLimits);
  const Verdict verdict = repeat(absent, {waiting(4), std::nullopt}, 0, 100);
  CHECK(verdict.second == 60);
  CHECK_THAT(verdict.report->text, Contains("rank 1: never heard of"));
}

TEST_CASE("A machine that is slow in its first step is given twice that time", "[parallel]") {
  StallLimits limits = kLimits;
  limits.learn = true;
  StallJudge judge(1, limits);
  Beat first = computing(1);
  first.patient = true;
  REQUIRE_FALSE(repeat(judge, {first}, 0, 19).report);
  CHECK(repeat(judge, {computing(2)}, 20, 100).second == 60);  // 20 + 2 * 20
}

TEST_CASE("Time in which nobody looked is not held against the ranks", "[parallel]") {
  StallJudge judge(2, kLimits);
  REQUIRE_FALSE(repeat(judge, {waiting(1), computing(1)}, 0, 5).report);
  // The whole job was stopped for an hour.
  REQUIRE_FALSE(repeat(judge, {waiting(1), computing(1)}, 3600, 3601).report);
  CHECK(repeat(judge, {waiting(1), computing(1)}, 3602, 3700).report);
}

TEST_CASE("Ranks that are done, or whose trace is off, are left alone", "[parallel]") {
  Beat left = waiting(3);
  left.left = true;
  StallJudge ending(2, kLimits);
  for (int s = 0; s < 40; ++s) {
    Beat own = computing(s);
    own.count = s;
    REQUIRE_FALSE(ending.observe(s, {own, left}));
  }
  Beat blind = computing(1);
  blind.judged = false;
  StallJudge off(1, kLimits);
  CHECK_FALSE(repeat(off, {blind}, 0, 100).report);
}

TEST_CASE("A beat comes back as it was sent; anything else is an error", "[parallel]") {
  Beat beat = reading(7);
  beat.count = 3;
  beat.note = "a \"b\" \n \xff";  // a file name may hold any bytes
  const auto decoded = titan::parallel::decode_beat(encode(beat));
  REQUIRE(decoded.ok());
  CHECK(decoded->progress == 7);
  CHECK(decoded->count == 3);
  CHECK(decoded->waits_for_data());
  CHECK(decoded->first_slot == 100);
  CHECK_FALSE(titan::parallel::decode_beat("").ok());
  CHECK_FALSE(titan::parallel::decode_beat("{\"count\": 1}").ok());
}
