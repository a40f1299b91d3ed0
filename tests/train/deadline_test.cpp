#include "tests/support/catch.h"

#include "titan/train/deadline.h"

#include "titan/train/stop_times.h"

using titan::Clocks;
using titan::Deadline;
using titan::JobSection;

namespace {

/// Clocks that a test moves.
struct TestClocks {
  double steady = 1000, wall = 1.8e9;
  Clocks clocks() {
    return {[this] { return steady; }, [this] { return wall; }};
  }
  void pass(double s) { steady += s, wall += s; }
};

std::function<const char*(const char*)> slurm_end(const std::string& value) {
  return [value](const char* name) {
    return std::string(name) == "SLURM_JOB_END_TIME" ? value.c_str() : nullptr;
  };
}

JobSection limit(const std::string& text) {
  JobSection job;
  job.time_limit = text;
  return job;
}

}  // namespace

TEST_CASE("A time limit counts from the start of the job", "[train]") {
  TestClocks time;
  const Deadline deadline =
      Deadline::of_job(limit("0:01:40"), /*began_s=*/960, time.clocks(), slurm_end(""));
  REQUIRE(deadline.set());
  CHECK(deadline.remaining_s() == 60);
  time.pass(50);
  CHECK(deadline.remaining_s() == 10);
  CHECK(deadline.source() == "job.time_limit=0:01:40");
}

TEST_CASE("A jump of the wall clock moves no end", "[train]") {
  for (const double jump : {-86400.0, 86400.0}) {
    TestClocks time;
    const Deadline slurm =
        Deadline::of_job({}, 1000, time.clocks(), slurm_end(std::to_string(1800000100)));
    const Deadline own = Deadline::of_job(limit("100"), 1000, time.clocks(), slurm_end(""));
    CHECK(slurm.source() == "SLURM's end of the job");
    time.pass(30);
    time.wall += jump;
    CHECK(slurm.remaining_s() == 70);
    CHECK(own.remaining_s() == 70);
    time.pass(70);
    CHECK(slurm.remaining_s() == 0);
    CHECK(own.remaining_s() == 0);
  }
}

TEST_CASE("The earlier of both ends counts; 0 switches both off", "[train]") {
  TestClocks time;
  const auto in_100_s = slurm_end(std::to_string(1800000100));
  CHECK(Deadline::of_job(limit("50"), 1000, time.clocks(), in_100_s).remaining_s() == 50);
  CHECK(Deadline::of_job(limit("500"), 1000, time.clocks(), in_100_s).remaining_s() == 100);
  CHECK_FALSE(Deadline::of_job(limit("0"), 1000, time.clocks(), in_100_s).set());
  CHECK_FALSE(Deadline::of_job({}, 1000, time.clocks(), slurm_end("")).set());
}

TEST_CASE("An end that is no time or has passed is ignored", "[train]") {
  TestClocks time;
  for (const char* value : {"soon", "1800000000x", "17", "-5"})
    CHECK_FALSE(Deadline::of_job({}, 1000, time.clocks(), slurm_end(value)).set());
}

TEST_CASE("What must be left follows from what took how long", "[train]") {
  using titan::StopTimes;
  StopTimes times(/*margin_s=*/0, /*save_bytes=*/200e6, /*saves=*/true);
  CHECK(times.needed_s({}) == 1.5 * 1 + 5);  // assumed: 200 MB/s
  times.save(4, /*complete=*/true);
  times.step(10);
  times.step(1);  // the longest of late
  times.evaluation(30);
  times.pictures(20);
  const double step = times.needed_s({.step = true});
  CHECK(step > 1.5 * (4 + 9) + 5);
  CHECK(step <= 1.5 * (4 + 10) + 5);
  CHECK(times.needed_s({.step = true, .evaluation = true}) == Approx(step + 1.5 * 30));
  CHECK(times.needed_s({.step = true, .pictures = true}) == Approx(step + 1.5 * 20));
  CHECK(times.needed_s({.step = true, .checkpoint = true}) == Approx(step + 1.5 * 4));
  for (int i = 0; i < 300; ++i) times.step(1);
  CHECK(times.needed_s({.step = true}) < 1.5 * (4 + 1.1) + 5);
  times.save(1, /*complete=*/false);  // a copy alone says nothing
  CHECK(times.needed_s({}) == 1.5 * 4 + 5);

  StopTimes nothing(0, 200e6, /*saves=*/false);
  nothing.save(100, true);
  CHECK(nothing.needed_s({}) == 5);
  CHECK(StopTimes(7, 200e6, true).needed_s({.step = true, .evaluation = true}) == 7);
}
