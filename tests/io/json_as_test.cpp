#include "titan/io/json_as.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/catch.h"

namespace {

using Json = nlohmann::json;

template <class T>
bool is_refused(const std::string& text) {
  try {
    titan::json_as<T>(Json::parse(text));
    return false;
  } catch (const Json::exception&) {
    return true;
  }
}

}  // namespace

TEST_CASE("An integer of a JSON file is one that its type holds, or is refused", "[io]") {
  CHECK(titan::json_as<std::int64_t>(Json::parse("-9223372036854775808")) ==
        std::numeric_limits<std::int64_t>::min());
  CHECK(titan::json_as<std::uint64_t>(Json::parse("18446744073709551615")) ==
        std::numeric_limits<std::uint64_t>::max());
  CHECK(titan::json_as<int>(nlohmann::ordered_json::parse("7")) == 7);
  CHECK(titan::json_as<std::vector<std::int64_t>>(Json::parse("[3, 0, 5]")) ==
        std::vector<std::int64_t>{3, 0, 5});
  CHECK(titan::json_as<double>(Json::parse("1.5")) == 1.5);
  CHECK(titan::json_as<bool>(Json::parse("true")));

  for (const char* text : {"1.5", "1e3", "6e31", "-6e31", "409611111111111111111111", "true",
                           "null", "\"7\"", "[]", "9223372036854775808"})
    CHECK(is_refused<std::int64_t>(text));
  CHECK(is_refused<std::uint64_t>("-1"));
  CHECK(is_refused<int>("2147483648"));
  for (const char* text : {"[1, 2.5]", "[1, -6e31]", "7", "{\"0\": 7}", "null"})
    CHECK(is_refused<std::vector<std::int64_t>>(text));
}
