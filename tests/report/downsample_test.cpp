#include "titan/report/downsample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/support/catch.h"
#include "titan/base/check.h"

using namespace titan::report;

TEST_CASE("Buckets cover every record once; the first and the last stand alone", "[report]") {
  REQUIRE(bucket_borders(0, 10).empty());
  REQUIRE(bucket_borders(1, 10) == std::vector<std::size_t>{0, 1});
  REQUIRE(bucket_borders(3, 3) == std::vector<std::size_t>{0, 1, 2, 3});
  for (const std::size_t records : {11, 100, 9999, 10000, 123457}) {
    for (const std::size_t most : {3, 10, 500}) {
      const std::vector<std::size_t> borders = bucket_borders(records, most);
      REQUIRE(borders.size() - 1 == std::min(records, most));
      REQUIRE(borders.front() == 0);
      REQUIRE(borders.back() == records);
      std::size_t smallest = records, largest = 0;
      for (std::size_t i = 0; i + 1 < borders.size(); ++i) {
        REQUIRE(borders[i] < borders[i + 1]);
        if (i == 0 || i + 2 == borders.size()) continue;
        smallest = std::min(smallest, borders[i + 1] - borders[i]);
        largest = std::max(largest, borders[i + 1] - borders[i]);
      }
      REQUIRE(borders[1] == 1);
      REQUIRE(borders[borders.size() - 2] == records - 1);
      REQUIRE(largest - smallest <= 1);
    }
  }
  REQUIRE_THROWS_AS(bucket_borders(5, 2), titan::Error);
}

TEST_CASE("A spike of one step among ten thousand is seen, and so is the mean", "[report]") {
  std::vector<double> values(10000, 1.0);
  values[4321] = 50;
  values[777] = -3;
  const std::vector<std::size_t> borders = bucket_borders(values.size(), 200);
  const BucketValues buckets = summarize(values, borders);
  REQUIRE(buckets.mean.size() == 200);
  REQUIRE(*std::max_element(buckets.high.begin(), buckets.high.end()) == 50);
  REQUIRE(*std::min_element(buckets.low.begin(), buckets.low.end()) == -3);
  REQUIRE(buckets.missing.empty());
  // Weighted by their sizes the buckets' means give the mean of all.
  double sum = 0;
  for (std::size_t i = 0; i < buckets.mean.size(); ++i)
    sum += buckets.mean[i] * static_cast<double>(borders[i + 1] - borders[i]);
  REQUIRE(sum == Approx(std::accumulate(values.begin(), values.end(), 0.0)));
}

TEST_CASE("Values that are not finite are counted and do not spoil their bucket", "[report]") {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  const std::vector<double> values = {1, 2, nan, 4, nan, nan, inf, 8};
  const BucketValues buckets = summarize(values, {0, 1, 4, 6, 8});
  REQUIRE(buckets.mean[0] == 1);
  REQUIRE(buckets.mean[1] == 3);  // of 2 and 4
  REQUIRE(std::isnan(buckets.mean[2]));
  REQUIRE(std::isnan(buckets.low[2]));
  REQUIRE(buckets.mean[3] == 8);
  REQUIRE(buckets.high[3] == 8);
  REQUIRE(buckets.missing ==
          std::vector<std::pair<std::size_t, std::int64_t>>{{1, 1}, {2, 2}, {3, 1}});
}

TEST_CASE("A bucket lies in the middle of its records", "[report]") {
  REQUIRE(bucket_centres({1, 10, 20, 30, 40}, {0, 1, 4, 5}) == std::vector<double>{1, 20, 40});
}
