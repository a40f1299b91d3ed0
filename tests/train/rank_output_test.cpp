#include "tests/support/catch.h"

#include "titan/train/rank_output.h"

using titan::HiddenLines;
using titan::is_warning_line;
using titan::RankOutput;

namespace {
std::string feed(RankOutput& output, const std::string& text) {
  return output.take(text.data(), text.size());
}
}  // namespace

TEST_CASE("Lines are shown whole, with the rank in front", "[train]") {
  HiddenLines hidden;
  RankOutput output(3, true, hidden);
  REQUIRE(feed(output, "one\ntw").empty() == false);
  REQUIRE(feed(output, "o\n\nthr") == "[rank 3] two\n[rank 3] \n");
  REQUIRE(output.finish() == "[rank 3] thr\n");
  REQUIRE(output.finish().empty());
  // The rank's own logger names it already.
  REQUIRE(feed(output, "I20260101 a.cpp:1] [rank 3] hello\n") ==
          "I20260101 a.cpp:1] [rank 3] hello\n");
  REQUIRE(hidden.lines().empty());
}

TEST_CASE("A hidden rank shows warnings; the newest of its other lines are kept", "[train]") {
  HiddenLines hidden;
  RankOutput output(1, false, hidden);
  REQUIRE(feed(output, "I20260101 1 info\nE20260101 1 broken\n") ==
          "[rank 1] E20260101 1 broken\n");
  for (int i = 0; i < 100; ++i) REQUIRE(feed(output, "line " + std::to_string(i) + "\n").empty());
  REQUIRE(hidden.lines().size() == 30);
  REQUIRE(hidden.lines().front() == "line 70");
  REQUIRE(hidden.lines().back() == "line 99");
}

TEST_CASE("A stream without line ends is cut, not kept for ever", "[train]") {
  HiddenLines hidden;
  RankOutput output(0, true, hidden);
  const std::string shown = feed(output, std::string(200000, 'x'));
  REQUIRE(shown.size() > 130000);
  REQUIRE(output.finish().size() < 70000);
}

TEST_CASE("Severities are read from glog's prefix alone", "[train]") {
  REQUIRE(is_warning_line("W20260131 12:00:00.1 5 a.cpp:3] x"));
  REQUIRE(is_warning_line("E0131 12:00:00.1 5 a.cpp:3] x"));
  REQUIRE(is_warning_line("F20260131 x"));
  REQUIRE_FALSE(is_warning_line("I20260131 x"));
  REQUIRE_FALSE(is_warning_line("Well 1 x"));
  REQUIRE_FALSE(is_warning_line("Epoch 3"));
  REQUIRE_FALSE(is_warning_line("W"));
  REQUIRE_FALSE(is_warning_line(""));
}
