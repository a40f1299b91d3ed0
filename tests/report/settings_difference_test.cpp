#include "titan/report/settings_difference.h"

#include "tests/support/catch.h"

using namespace titan::report;

TEST_CASE("Only settings that differ are rows, a missing one among them", "[report]") {
  const std::string long_text(500, 'x');
  const auto a = parse_settings(
      "[optimizer]\nlr = 1e-4\n[training]\nsteps = 10\nseed = 1\n"
      "[sampling]\nguidance = [1.0, 3.0]\nprompts = [\"" +
          long_text + "a\"]\n",
      "a");
  const auto b = parse_settings(
      "[optimizer]\nlr = 2e-4\n[training]\nsteps = 10\n"
      "[sampling]\nguidance = [1.0, 3.0]\nprompts = [\"" +
          long_text + "b\"]\n",
      "b");
  REQUIRE(a.ok());
  REQUIRE(b.ok());
  const std::vector<SettingRow> rows = settings_difference({&*a, &*b});
  REQUIRE(rows.size() == 3);
  REQUIRE(rows[0].key == "optimizer.lr");
  REQUIRE(rows[0].values == std::vector<std::string>{"1e-04", "2e-04"});
  REQUIRE(rows[1].key == "sampling.prompts");  // differs behind what a message would show
  REQUIRE(rows[1].values[0] != rows[1].values[1]);
  REQUIRE(rows[2].key == "training.seed");
  REQUIRE(rows[2].values == std::vector<std::string>{"1", ""});
}

TEST_CASE("A run whose settings are not known has no say", "[report]") {
  const Settings a = {{"x", "1"}}, b = {{"x", "2"}};
  REQUIRE(settings_difference({&a, nullptr}).empty());
  REQUIRE(settings_difference({&a, &a}).empty());
  const auto rows = settings_difference({&a, nullptr, &b});
  REQUIRE(rows.size() == 1);
  REQUIRE(rows[0].values == std::vector<std::string>{"1", "", "2"});
}

TEST_CASE("Text that is no TOML is named", "[report]") {
  const auto broken = parse_settings("[training\nsteps", "config.toml");
  REQUIRE_FALSE(broken.ok());
  REQUIRE(titan::message_of(broken.status()).find("config.toml") != std::string::npos);
}
