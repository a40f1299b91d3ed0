#include "titan/metrics/tfrecord.h"

#include "tests/support/catch.h"

namespace titan::metrics {

TEST_CASE("CRC-32C matches its published check values", "[metrics]") {
  REQUIRE(crc32c("") == 0);
  REQUIRE(crc32c("123456789") == 0xE3069283U);
  REQUIRE(crc32c(std::string(32, '\0')) == 0x8A9136AAU);  // RFC 3720, B.4
  REQUIRE(crc32c(std::string(32, '\xff')) == 0x62A8AB43U);
}

TEST_CASE("Records are read back until the first torn or damaged one", "[metrics]") {
  const std::string first = frame_record("alpha");
  const std::string file = first + frame_record("") + frame_record("gamma");
  const auto a = record_at(file, 0);
  REQUIRE(a->payload == "alpha");
  const auto b = record_at(file, a->end);
  REQUIRE(b->payload.empty());
  const auto c = record_at(file, b->end);
  REQUIRE(c->payload == "gamma");
  REQUIRE_FALSE(record_at(file, c->end).has_value());

  REQUIRE_FALSE(record_at(file.substr(0, file.size() - 1), b->end).has_value());
  for (std::size_t i = 0; i < first.size(); ++i) {
    std::string damaged = first;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    REQUIRE_FALSE(record_at(damaged, 0).has_value());
  }
}

}  // namespace titan::metrics
