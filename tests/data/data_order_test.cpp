#include "tests/support/catch.h"

#include "titan/data/data_order.h"

#include <algorithm>
#include <set>
#include <vector>

namespace titan {
namespace {

std::vector<int64_t> epoch_of(const DataOrder& order, std::uint32_t epoch) {
  std::vector<int64_t> samples;
  for (int64_t position = 0; position < order.size(); ++position)
    samples.push_back(order.sample({epoch, position}));
  return samples;
}

TEST_CASE("Every epoch is a permutation, whatever the size", "[data]") {
  for (const int64_t n :
       {1, 2, 3, 4, 5, 7, 16, 17, 31, 97, 255, 256, 257, 1000, 4096, 4097, 10007}) {
    INFO(n);
    for (const std::uint32_t epoch : {0U, 1U, 4'000'000'000U}) {
      const std::vector<int64_t> samples = epoch_of(DataOrder(n, 5, true), epoch);
      const std::set<int64_t> unique(samples.begin(), samples.end());
      CHECK(unique.size() == static_cast<std::size_t>(n));
      CHECK(*unique.begin() == 0);
      CHECK(*unique.rbegin() == n - 1);
    }
  }
}

TEST_CASE("Orders differ by epoch and seed, and off means stored order", "[data]") {
  const DataOrder order(1000, 5, true);
  CHECK(epoch_of(order, 0) != epoch_of(order, 1));
  CHECK(epoch_of(order, 0) != epoch_of(DataOrder(1000, 6, true), 0));
  CHECK(epoch_of(order, 3) == epoch_of(DataOrder(1000, 5, true), 3));
  const std::vector<int64_t> stored = epoch_of(DataOrder(1000, 5, false), 2);
  CHECK(std::is_sorted(stored.begin(), stored.end()));
}

TEST_CASE("Every sample comes to every position equally often", "[data]") {
  // Chi-squared of 7 x 7 cells over 4200 epochs: 36 degrees of freedom, mean 36, deviation 8.5. 90
  // is beyond six deviations, and the draw is fixed by the seed.
  constexpr int64_t n = 7;
  constexpr int kEpochs = 4200;
  const DataOrder order(n, 1, true);
  int counts[n][n] = {};
  for (std::uint32_t epoch = 0; epoch < kEpochs; ++epoch)
    for (int64_t position = 0; position < n; ++position)
      ++counts[position][order.sample({epoch, position})];
  double chi_squared = 0;
  const double expected = static_cast<double>(kEpochs) / n;
  for (const auto& row : counts)
    for (const int count : row) chi_squared += (count - expected) * (count - expected) / expected;
  CHECK(chi_squared < 90);
}

TEST_CASE("Slots run through epochs without a gap", "[data]") {
  const DataOrder order(10, 0, true);
  CHECK(order.place(9).epoch == 0);
  CHECK(order.place(10).epoch == 1);
  CHECK(order.place(10).position == 0);
  CHECK_THROWS(order.place(-1));
  CHECK_THROWS(DataOrder(0, 0, true));
}

TEST_CASE("Probes stay in range and differ by attempt", "[data]") {
  const DataOrder order(1000, 3, true);
  std::set<int64_t> probes;
  for (std::uint32_t attempt = 0; attempt < 50; ++attempt) {
    const int64_t probe = order.probe(1, 17, attempt);
    CHECK((probe >= 0 && probe < 1000));
    CHECK(probe == order.probe(1, 17, attempt));
    probes.insert(probe);
  }
  CHECK(probes.size() > 40);
}

}  // namespace
}  // namespace titan
