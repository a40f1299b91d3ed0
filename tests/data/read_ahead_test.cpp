#include "tests/support/catch.h"

#include "titan/data/read_ahead.h"

#include <mutex>

#include "titan/base/segments.h"
#include "titan/data/dataloader.h"
#include "titan/data/one_pass_loader.h"

#include "tests/data/fake_dataset.h"

namespace titan {
namespace {

/// Remembers what it was told.
class Told : public testing::FakeDataset, public ReadsAhead {
 public:
  using FakeDataset::FakeDataset;
  void expect(const std::vector<int64_t>& indices) const override { told.push_back(indices); }
  mutable std::vector<std::vector<int64_t>> told;
};

TEST_CASE("A loader tells what it reads next, in its own order", "[data]") {
  for (const bool shuffle : {true, false})
    for (const int rank : {0, 1}) {
      const auto data = std::make_shared<Told>(40);
      const auto loader = *DataLoader::create(data, {.micro_batch = 2,
                                                     .global_batch = 8,
                                                     .dp_rank = rank,
                                                     .dp_size = 2,
                                                     .start_cursor = 16,
                                                     .seed = 3,
                                                     .shuffle = shuffle});
      std::vector<int64_t> read;
      for (int i = 0; i < 30; ++i) {
        const Batch batch = *loader->next();
        for (int64_t at = 0; at < 2; ++at) read.push_back(batch.sample[at].item<int64_t>());
      }
      REQUIRE(data->told.size() == 1);  // far ahead, and seldom
      const std::vector<int64_t>& told = data->told.front();
      REQUIRE(told.size() >= static_cast<std::size_t>(ReadAheadPlan::kSamples));
      CHECK(std::vector<int64_t>(told.begin(), told.begin() + 60) == read);
    }
}

TEST_CASE("A pass tells its own batches and stops with them", "[data]") {
  const auto data = std::make_shared<Told>(21);
  OnePassLoader loader(data, {.batch_size = 4, .rank = 1, .num_ranks = 2});
  REQUIRE(data->told.size() == 1);
  CHECK(data->told.front() == std::vector<int64_t>{4, 5, 6, 7, 12, 13, 14, 15, 20});
}

TEST_CASE("The plan is told again before it has run out", "[data]") {
  const Told data(10);
  ReadAheadPlan plan(data, ReadAheadPlan::kSamples / 2);  // four batches at a time
  std::vector<int64_t> asked;
  const auto append = [&](int64_t batch, std::vector<int64_t>& indices) {
    indices.push_back(batch);
    return batch < 6;
  };
  for (int64_t batch = 0; batch < 6; ++batch) plan.before(batch, append);
  CHECK(data.told == std::vector<std::vector<int64_t>>{{0, 1, 2, 3}, {2, 3, 4, 5}, {4, 5, 6}});
  const testing::FakeDataset deaf(10);
  ReadAheadPlan nobody(deaf, 1);
  nobody.before(0, [&](int64_t, std::vector<int64_t>&) -> bool {
    FAIL("nobody listens");
    return false;
  });
}

TEST_CASE("Segments of items: each run of neighbours once", "[data]") {
  Segments segments;
  for (const int64_t count : {3, 0, 2}) REQUIRE(segments.add(count));
  CHECK(segments.segments_of({0, 1, 4, 3, 2, 0}) == std::vector<std::size_t>{0, 2, 0});
  CHECK(segments.segments_of({}).empty());
}

}  // namespace
}  // namespace titan
