#include "titan/base/printable.h"

#include "tests/support/catch.h"

using titan::listed;
using titan::printable;

TEST_CASE("A name from a file neither floods nor steers the terminal", "[base]") {
  CHECK(printable("blocks.0.w") == "blocks.0.w");
  CHECK(printable("a\x1b[2Jb\nc\x7f") == "a?[2Jb?c?");
  CHECK(printable("größer") == "größer");
  CHECK(printable(std::string(90, 'x')) == std::string(80, 'x').append("..."));
  CHECK(printable(std::string(80, 'x')) == std::string(80, 'x'));
  CHECK(printable("") == "");
}

TEST_CASE("Many names are cut to the first few", "[base]") {
  CHECK(listed({}) == "");
  CHECK(listed({"a"}) == "a");
  CHECK(listed({"a", "b\n", "c"}, 3) == "a, b?, c");
  CHECK(listed({"a", "b", "c", "d"}, 2) == "a, b and 2 more");
}
