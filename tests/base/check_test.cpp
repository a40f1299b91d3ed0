#include "tests/support/catch.h"

#include "titan/base/check.h"

#include "titan/base/hash.h"
#include "titan/base/status.h"

TEST_CASE("TITAN_CHECK throws with the message, the condition and the place", "[base]") {
  const int dp_shard = 3;
  REQUIRE_NOTHROW([&] { TITAN_CHECK(dp_shard == 3); }());
  try {
    TITAN_CHECK(dp_shard == 8, "[fsdp] dp_shard must be 8 (dp_shard=", dp_shard, ")");
    FAIL("no exception");
  } catch (const titan::Error& error) {
    const std::string message = error.what();
    REQUIRE(message.find("[fsdp] dp_shard must be 8 (dp_shard=3)") == 0);
    REQUIRE(message.find("check_test.cpp") != std::string::npos);
  }
}

TEST_CASE("bad input is exit code 2, a machine's failure is 1", "[base]") {
  REQUIRE(titan::exit_code_for(titan::ok_status()) == 0);
  REQUIRE(titan::exit_code_for(titan::invalid_argument("x")) == 2);
  REQUIRE(titan::exit_code_for(titan::not_found("x")) == 2);
  REQUIRE(titan::exit_code_for(titan::data_loss("x")) == 2);
  REQUIRE(titan::exit_code_for(titan::internal_error("x")) == 1);
}

TEST_CASE("annotate keeps the code and leaves OK alone", "[base]") {
  REQUIRE(titan::annotate(titan::ok_status(), "ctx").ok());
  const titan::Status status = titan::annotate(titan::not_found("no file"), "loading a.toml");
  REQUIRE(status.code() == absl::StatusCode::kNotFound);
  REQUIRE(titan::message_of(status) == "loading a.toml: no file");
}

TEST_CASE("the streamed XXH3-128 equals the one-shot hash", "[base]") {
  const std::string text = "a counter-keyed draw is a pure function";
  titan::Xxh3Stream stream;
  stream.update(text.data(), 10);
  stream.update(text.data() + 10, text.size() - 10);
  REQUIRE(stream.hex() == titan::xxh3_128_hex(text.data(), text.size()));
  REQUIRE(stream.hex().size() == 32);
  // Published by the XXH3 specification: the hash of the empty input with seed 0.
  REQUIRE(titan::xxh3_128_hex("", 0) == "99aa06d3014798d86001c324468d497f");
}
