#include "titan/report/run_records.h"

#include <cmath>

#include "tests/support/catch.h"
#include "titan/base/check.h"
#include "titan/report/run_clock.h"

using namespace titan::report;
using titan::str_cat;

namespace {

std::string train_line(int step, double time, const std::string& more = "\"loss\":0.5") {
  return str_cat(R"({"kind":"train","step":)", step, R"(,"samples":)", 8 * step,
                 R"(,"step_s":2.0,)", more, R"(,"time":)", std::to_string(time), "}\n");
}

bool noted(const RunRecords& records, const std::string& text) {
  for (const std::string& note : records.notes)
    if (note.find(text) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("Lines become columns; null is no number", "[report]") {
  const RunRecords records = parse_records(
      train_line(1, 1000, R"("loss":null,"mfu":null)") +
      train_line(10, 1018, R"("loss":0.25,"extra":7)") +
      R"({"kind":"eval","step":10,"samples":64,"loss":0.5,"seconds":3.0,"loss_t0":null})"
      "\n"
      R"({"kind":"event","step":10,"event":"nonfinite","cause":"</script>","seconds":1.5})"
      "\n");
  REQUIRE(records.notes.empty());
  REQUIRE(records.train.step == std::vector<std::int64_t>{1, 10});
  REQUIRE(records.train.steps == std::vector<std::int64_t>{1, 9});
  REQUIRE(std::isnan(records.train.values.at("loss")[0]));
  REQUIRE(records.train.values.at("loss")[1] == 0.25);
  REQUIRE(std::isnan(records.train.values.at("extra")[0]));  // a column that begins late
  REQUIRE(records.train.values.at("extra")[1] == 7);
  REQUIRE(std::isnan(records.train.values.at("mfu")[1]));  // and one that ends early
  REQUIRE(records.train.hours[0] == Approx(2.0 / 3600));
  REQUIRE(records.train.hours[1] == Approx(20.0 / 3600));
  REQUIRE(records.evals.size() == 1);
  REQUIRE(records.evals[0].values.at("loss") == 0.5);
  REQUIRE(std::isnan(records.evals[0].values.at("loss_t0")));
  REQUIRE(records.events.size() == 1);
  REQUIRE(records.events[0].name == "nonfinite");
  REQUIRE(records.events[0].seconds == 1.5);
  REQUIRE(records.events[0].text == "cause: </script>");
}

TEST_CASE("A file that is being written, cut short or damaged is read as far as it goes",
          "[report]") {
  const std::string whole = train_line(1, 1000) + train_line(2, 1002) + train_line(3, 1004);
  // Cut at every byte: never more lines than whole ones, never a throw.
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const RunRecords records = parse_records(whole.substr(0, size));
    const auto lines =
        static_cast<std::size_t>(std::count(whole.begin(), whole.begin() + size, '\n'));
    REQUIRE(records.train.step.size() == lines);
    REQUIRE(noted(records, "not complete") == (size > 0 && whole[size - 1] != '\n'));
  }
  const RunRecords damaged = parse_records(
      train_line(1, 1000) + "no json\n[]\n{\"kind\":\"train\"}\n{\"kind\":3,\"step\":2}\n" +
      "{\"kind\":\"train\",\"step\":-4}\n{\"kind\":\"train\",\"step\":1e99}\n\n" +
      std::string(100000, '[') + "\n" + std::string("\0\xff\n", 3) + train_line(2, 1002));
  REQUIRE(damaged.train.step == std::vector<std::int64_t>{1, 2});
  REQUIRE(noted(damaged, "8 lines are no records"));
}

TEST_CASE("Where steps go back the later lines count", "[report]") {
  const RunRecords records =
      parse_records(train_line(1, 1000) + train_line(2, 1002) + train_line(3, 1004) +
                    R"({"kind":"eval","step":3,"loss":9})"
                    "\n" +
                    train_line(2, 1100, "\"loss\":0.75") + train_line(3, 1102, "\"loss\":0.875"));
  REQUIRE(records.train.step == std::vector<std::int64_t>{1, 2, 3});
  REQUIRE(records.train.values.at("loss") == std::vector<double>{0.5, 0.75, 0.875});
  REQUIRE(records.evals.empty());
  REQUIRE(noted(records, "go back"));
}

TEST_CASE("The break before a restart is no time of the run", "[report]") {
  const RunRecords records =
      parse_records(train_line(10, 1000) +
                    R"({"kind":"event","step":10,"event":"resume","time":90000.0})"
                    "\n" +
                    train_line(20, 90030));
  REQUIRE(records.train.steps == std::vector<std::int64_t>{10, 10});
  REQUIRE(records.train.hours[1] - records.train.hours[0] == Approx(30.0 / 3600));
  REQUIRE(records.notes.empty());
}

TEST_CASE("A clock that jumps, back or far ahead, does not bend the axis", "[report]") {
  for (const double jump : {-5000.0, 31536000.0}) {
    const RunRecords records =
        parse_records(train_line(1, 1e6) + train_line(2, 1e6 + 3) + train_line(3, 1e6 + jump) +
                      train_line(4, 1e6 + jump + 3));
    REQUIRE(records.train.hours[1] - records.train.hours[0] == Approx(3.0 / 3600));
    REQUIRE(records.train.hours[2] - records.train.hours[1] == Approx(2.0 / 3600));
    REQUIRE(records.train.hours[3] - records.train.hours[2] == Approx(3.0 / 3600));
    REQUIRE(noted(records, "clock was set"));
  }
  // A long pause that is explained is none.
  const RunRecords slow =
      parse_records(train_line(1, 1e6) +
                    R"({"kind":"eval","step":1,"loss":1,"seconds":86400.0,"time":1086400.0})"
                    "\n" +
                    train_line(2, 1e6 + 86402));
  REQUIRE(slow.train.hours[1] - slow.train.hours[0] == Approx(86402.0 / 3600));
  REQUIRE_FALSE(noted(slow, "clock"));
}

TEST_CASE("Lines of an older version, without a time, are the sum of their steps", "[report]") {
  RunClock clock;
  REQUIRE(clock.advance(std::nullopt, 36) == Approx(0.01));
  clock.pause(36);
  REQUIRE(clock.advance(std::nullopt, 36) == Approx(0.03));
  REQUIRE(clock.advance(std::nullopt, std::nan("")) == Approx(0.03));
  REQUIRE(clock.estimated());
}
