#include "titan/config/value.h"

#include <limits>

#include "tests/support/catch.h"
#include "titan/config/nearest.h"

using titan::ArgValue;
using titan::FieldRule;
using titan::RawText;
using titan::config::assign;

namespace {
ArgValue raw(const std::string& text) { return {{RawText{text}}, false, ""}; }
ArgValue one(titan::ArgScalar item) { return {{std::move(item)}, false, ""}; }
}  // namespace

TEST_CASE("Whole numbers are also taken from 3.0 and 1e4, nothing else is", "[config]") {
  int64_t field = 7;
  CHECK(assign(field, raw("12"), {}) == "");
  CHECK(field == 12);
  CHECK(assign(field, one(3.0), {}) == "");
  CHECK(field == 3);
  CHECK(assign(field, raw("1e4"), {}) == "");
  CHECK(field == 10000);
  CHECK(assign(field, raw("9223372036854775807"), {}) == "");
  CHECK(field == std::numeric_limits<int64_t>::max());
  for (const char* bad : {"", " ", "3.5", "abc", "12x", "nan", "inf", "1e300",
                          "9223372036854775808", "true", "+-3"}) {
    INFO(bad);
    CHECK(assign(field, raw(bad), {}).find("must be a whole number") == 0);
  }
  CHECK(assign(field, one(std::string("5")), {}) == "must be a whole number (given \"5\")");
  CHECK(assign(field, one(true), {}) == "must be a whole number (given true)");
  CHECK(field == std::numeric_limits<int64_t>::max());
}

TEST_CASE("Numbers must be finite and keep their rule", "[config]") {
  double field = 0.5;
  CHECK(assign(field, raw("1e-4"), titan::rule::above(0)) == "");
  CHECK(field == 1e-4);
  CHECK(assign(field, one(int64_t{2}), {}) == "");
  CHECK(field == 2.0);
  CHECK(assign(field, raw("nan"), {}) == "must be a finite number (given nan)");
  CHECK(assign(field, one(std::numeric_limits<double>::infinity()), {}) ==
        "must be a finite number (given inf)");
  CHECK(assign(field, raw("0"), titan::rule::above(0)) == "must be above 0 (given 0)");
  CHECK(assign(field, raw("1.5"), titan::rule::between(0, 1)) ==
        "must be at least 0 and at most 1 (given 1.5)");
  const FieldRule half_open = {.min = 0, .max = 1, .max_exclusive = true};
  CHECK(assign(field, raw("1"), half_open) == "must be at least 0 and below 1 (given 1)");
  CHECK(field == 2.0);
}

TEST_CASE("Text may be empty; choices name the nearest", "[config]") {
  std::string field = "x";
  CHECK(assign(field, raw(""), {}) == "");
  CHECK(field.empty());
  CHECK(assign(field, one(int64_t{3}), {}) == "must be text (given 3)");
  const FieldRule rule = titan::rule::one_of({"AdamW", "Adam"});
  CHECK(assign(field, raw("adamw"), rule) ==
        "must be one of AdamW, Adam; did you mean AdamW? (given adamw)");
  CHECK(assign(field, raw("zzzzzzzz"), rule) == "must be one of AdamW, Adam (given zzzzzzzz)");
}

TEST_CASE("None unsets an optional", "[config]") {
  std::optional<int64_t> field = 3;
  CHECK(assign(field, raw("None"), {}) == "");
  CHECK_FALSE(field.has_value());
  CHECK(assign(field, raw("4"), {}) == "");
  CHECK(field == 4);
  CHECK(assign(field, raw("x"), {}) == "must be a whole number (given x)");
  CHECK(field == 4);
}

TEST_CASE("Lists come from TOML lists, single values and text with commas", "[config]") {
  std::vector<double> field = {9};
  CHECK(assign(field, ArgValue{{1.0, int64_t{2}}, true, ""}, {}) == "");
  CHECK(field == std::vector<double>{1, 2});
  CHECK(assign(field, raw("1, 3.5,4"), {}) == "");
  CHECK(field == std::vector<double>{1, 3.5, 4});
  CHECK(assign(field, raw("[5]"), {}) == "");
  CHECK(field == std::vector<double>{5});
  CHECK(assign(field, one(6.0), {}) == "");
  CHECK(field == std::vector<double>{6});
  CHECK(assign(field, raw("1,x"), {}) == "each item must be a number (given 1,x)");
  CHECK(assign(field, raw("1,-1"), titan::rule::at_least(0)) ==
        "each item must be at least 0 (given 1,-1)");
  CHECK(field == std::vector<double>{6});
  CHECK(assign(field, raw(""), {}) == "");
  CHECK(field.empty());
  int64_t scalar = 1;
  CHECK(assign(scalar, ArgValue{{int64_t{1}, int64_t{2}}, true, ""}, {}) ==
        "must be one value, not a list (given [1, 2])");
}

TEST_CASE("The shortest decimal of a double is a TOML float that reads back equal", "[config]") {
  for (const double value : {0.1, 1.0, 8e-4, 1e-8, 1e300, -2.5, 0.0, 123456789.0, 1.0 / 3.0}) {
    const std::string text = titan::config::shortest(value);
    INFO(text);
    CHECK(text.find_first_of(".e") != std::string::npos);
    CHECK(std::stod(text) == value);
  }
}

TEST_CASE("The nearest match finds slips of the pen and wrong sections", "[config]") {
  const std::vector<std::string> known = {"training.steps", "training.seed",
                                          "lr_scheduler.warmup_steps"};
  using titan::config::nearest_match;
  CHECK(nearest_match("training.stesp", known) == "training.steps");
  CHECK(nearest_match("trainig.steps", known) == "training.steps");
  CHECK(nearest_match("steps", known) == "training.steps");
  CHECK(nearest_match("optimizer.warmup_steps", known) == "lr_scheduler.warmup_steps");
  CHECK(nearest_match("training.something_else", known).empty());
  CHECK(nearest_match("", {}).empty());
  CHECK(titan::config::edit_distance("steps", "stesp") == 1);
  CHECK(titan::config::edit_distance("kitten", "sitting") == 3);
}
