#include "tests/support/catch.h"

#include "titan/config/time_limit.h"

#include "titan/config/job_config.h"
#include "titan/config/validate.h"

using titan::parse_time_limit;

TEST_CASE("Times are seconds or days-hours:minutes:seconds", "[config]") {
  CHECK(*parse_time_limit("0") == 0);
  CHECK(*parse_time_limit("90") == 90);
  CHECK(*parse_time_limit("0:01:30") == 90);
  CHECK(*parse_time_limit("36:00:00") == 36 * 3600);
  CHECK(*parse_time_limit("1-12:00:01") == 36 * 3600 + 1);
}

TEST_CASE("What is no time is refused with the text", "[config]") {
  const std::string text =
      GENERATE("", " 90", "90s", "-1", "1.5", "1:30", "1:60:00", "1:00:60", "1-24:00:00", "1-90",
               "1-2-3:00:00", "a-1:00:00", "1:00:", "99999999999999999999", "::", "1:2:3:4");
  const auto parsed = parse_time_limit(text);
  INFO(text);
  REQUIRE_FALSE(parsed.ok());
  CHECK(titan::message_of(parsed.status()) ==
        "must be seconds or [days-]hours:minutes:seconds (given \"" + text + "\")");
}

TEST_CASE("Settings of operation that do not fit are named", "[config]") {
  titan::JobConfig config;
  config.job.time_limit = "1:00";
  config.comm.heartbeat_seconds = 5;
  config.comm.stall_timeout_seconds = 4;
  const std::string text = titan::message_of(titan::validate(config));
  CHECK(text.find("job.time_limit") != std::string::npos);
  CHECK(text.find("(given \"1:00\")") != std::string::npos);
  CHECK(text.find("must be at most comm.stall_timeout_seconds (5 s, 4 s)") != std::string::npos);
  config = {};
  config.job.time_limit = "0:01:00";
  config.job.time_margin_seconds = 60;
  CHECK(titan::message_of(titan::validate(config))
            .find("must be less than job.time_limit (60 s of 60 s)") != std::string::npos);
  config.job.time_limit = "0";  // none
  CHECK(titan::message_of(titan::validate(config)).find("job.time") == std::string::npos);
}
