#include "titan/base/human.h"

#include <limits>

#include "tests/support/catch.h"

namespace titan {

TEST_CASE("Durations read as people write them", "[base]") {
  REQUIRE(human_duration(0) == "0.0s");
  REQUIRE(human_duration(8.44) == "8.4s");
  REQUIRE(human_duration(9.96) == "10s");
  REQUIRE(human_duration(59.4) == "59s");
  REQUIRE(human_duration(59.6) == "1m 00s");
  REQUIRE(human_duration(200) == "3m 20s");
  REQUIRE(human_duration(7500) == "2h 05m");
  REQUIRE(human_duration(86400.0 * 3 + 4 * 3600) == "3d 04h");
  REQUIRE(human_duration(-1) == "--");
  REQUIRE(human_duration(std::numeric_limits<double>::infinity()) == "--");
}

TEST_CASE("Sizes and figures keep three significant digits", "[base]") {
  REQUIRE(human_bytes(512) == "512 B");
  REQUIRE(human_bytes(1536) == "1.50 KiB");
  REQUIRE(human_bytes(3.9 * (1 << 30)) == "3.90 GiB");
  REQUIRE(human_bytes(200.0 * (1 << 20)) == "200 MiB");
  REQUIRE(human_number(0) == "0");
  REQUIRE(human_number(0.0784) == "0.0784");
  REQUIRE(human_number(0.00008) == "8.0e-05");
  REQUIRE(human_number(4.123) == "4.12");
  REQUIRE(human_number(4096) == "4096");
  REQUIRE(human_number(12345) == "12.3k");
  REQUIRE(human_number(1.864e9) == "1.86G");
}

}  // namespace titan
