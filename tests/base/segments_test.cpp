#include "titan/base/segments.h"

#include <limits>

#include "tests/support/catch.h"

namespace titan {
namespace {

TEST_CASE("Segments: every index is found in its segment, empty ones are passed over", "[base]") {
  Segments segments;
  const std::vector<int64_t> counts = {0, 3, 0, 1, 4, 0};
  for (const int64_t count : counts) REQUIRE(segments.add(count));
  CHECK(segments.size() == counts.size());
  CHECK(segments.total() == 8);
  int64_t index = 0;
  for (std::size_t segment = 0; segment < counts.size(); ++segment) {
    for (int64_t within = 0; within < counts[segment]; ++within, ++index) {
      CHECK(segments.find(index).segment == segment);
      CHECK(segments.find(index).index == within);
    }
  }
  for (std::size_t segment = 0; segment < counts.size(); ++segment)
    CHECK(segments.count(segment) == counts[segment]);
  CHECK_THROWS(segments.find(8));
  CHECK_THROWS(segments.find(-1));
  CHECK_THROWS(Segments().find(0));
}

TEST_CASE("Segments: a total beyond 64 bits is refused", "[base]") {
  Segments segments;
  REQUIRE(segments.add(std::numeric_limits<int64_t>::max() - 1));
  CHECK_FALSE(segments.add(2));
  CHECK(segments.size() == 1);
  CHECK(segments.add(1));
}

}  // namespace
}  // namespace titan
