#include "tests/support/catch.h"

#include "titan/data/dataloader.h"

#include <future>
#include <set>
#include <thread>

#include "titan/base/trace.h"

#include "tests/data/fake_dataset.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using testing::FakeDataset;

/// What one slot of the global batch got.
struct Got {
  int64_t sample;
  int64_t epoch;
  float pixel;
  int64_t label;
  std::string caption;
  bool operator==(const Got&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const Got& got) {
    return out << got.sample << "@" << got.epoch << " " << got.caption;
  }
};

void append(std::vector<Got>& out, const Batch& batch) {
  const at::Tensor image = batch.fields.get("image");
  for (int64_t i = 0; i < batch.size(); ++i)
    out.push_back({batch.sample[i].item<int64_t>(), batch.epoch[i].item<int64_t>(),
                   image[i][0][1][1].item<float>(), batch.fields.get("label")[i].item<int64_t>(),
                   batch.captions.at(static_cast<std::size_t>(i))});
}

/// The first `steps` global batches as `dp_size` ranks see them, put together rank after rank.
std::vector<Got> run(const std::shared_ptr<const Dataset>& dataset, DataLoaderOptions options,
                     int64_t steps) {
  std::vector<std::unique_ptr<DataLoader>> loaders;
  for (options.dp_rank = 0; options.dp_rank < options.dp_size; ++options.dp_rank) {
    auto loader = DataLoader::create(dataset, options);
    REQUIRE(loader.ok());
    loaders.push_back(*std::move(loader));
  }
  const int64_t accumulation = options.global_batch / options.dp_size / options.micro_batch;
  std::vector<Got> got;
  for (int64_t step = 0; step < steps; ++step)
    for (const auto& loader : loaders)
      for (int64_t i = 0; i < accumulation; ++i) {
        const StatusOr<Batch> batch = loader->next();
        REQUIRE(batch.ok());
        CHECK(batch->cursor == options.start_cursor + step * options.global_batch);
        CHECK(batch->size() == options.micro_batch);
        append(got, *batch);
      }
  return got;
}

DataLoaderOptions options_of(int64_t micro_batch, int dp_size) {
  return {.micro_batch = micro_batch, .global_batch = 8, .dp_size = dp_size, .seed = 3};
}

TEST_CASE("A global batch is the same on any layout and with any number of workers", "[data]") {
  const auto dataset = std::make_shared<FakeDataset>(21);
  const std::vector<Got> expected = run(dataset, options_of(8, 1), 6);
  for (const auto& [micro_batch, dp_size] : std::vector<std::pair<int64_t, int>>{
           {4, 1}, {1, 1}, {4, 2}, {2, 2}, {1, 4}, {2, 4}, {1, 8}}) {
    INFO(micro_batch << " x " << dp_size);
    CHECK(run(dataset, options_of(micro_batch, dp_size), 6) == expected);
  }
  DataLoaderOptions options = options_of(8, 1);
  for (const int64_t workers : {1, 4}) {
    options.num_workers = workers;
    options.prefetch_batches = workers;
    CHECK(run(dataset, options, 6) == expected);
  }
  CHECK(expected[0].caption == str_cat("sample ", expected[0].sample));
  CHECK(expected[0].label == expected[0].sample % 3);
}

TEST_CASE("Resuming at a cursor goes on as the uninterrupted run", "[data]") {
  const auto dataset = std::make_shared<FakeDataset>(21);
  DataLoaderOptions options = options_of(2, 2);
  const std::vector<Got> whole = run(dataset, options, 8);
  for (const int64_t step : {1, 2, 3, 7}) {
    options.start_cursor = step * options.global_batch;
    const std::vector<Got> rest = run(dataset, options, 8 - step);
    CHECK(std::equal(rest.begin(), rest.end(), whole.begin() + step * options.global_batch));
  }
}

TEST_CASE("Epochs join without a gap or a repeat", "[data]") {
  const auto dataset = std::make_shared<FakeDataset>(21);
  const std::vector<Got> got = run(dataset, options_of(8, 1), 21);  // 168 slots = 8 epochs
  for (int64_t epoch = 0; epoch < 8; ++epoch) {
    std::set<int64_t> seen;
    for (int64_t i = 0; i < 21; ++i) {
      CHECK(got[epoch * 21 + i].epoch == epoch);
      CHECK(got[epoch * 21 + i].pixel ==
            static_cast<float>(got[epoch * 21 + i].sample) + 0.001F * static_cast<float>(epoch));
      seen.insert(got[epoch * 21 + i].sample);
    }
    CHECK(seen.size() == 21);
  }
}

TEST_CASE("Stored order and the first n samples", "[data]") {
  const auto dataset = std::make_shared<FakeDataset>(21);
  DataLoaderOptions options = options_of(8, 1);
  options.shuffle = false;
  options.subset_size = 10;
  const std::vector<Got> got = run(dataset, options, 5);
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i].sample == static_cast<int64_t>(i % 10));
}

TEST_CASE("A broken sample is replaced, named and counted, and moves no other slot", "[data]") {
  const auto good = std::make_shared<FakeDataset>(200);
  const auto damaged = std::make_shared<FakeDataset>(200);
  damaged->fail = [](int64_t index, int) {
    return index == 5 || index == 77 ? data_loss("bad pixels") : ok_status();
  };
  const DataLoaderOptions options = {
      .micro_batch = 8, .global_batch = 8, .seed = 3, .max_broken_share = 0.05};
  const std::vector<Got> expected = run(good, options, 25);  // one epoch
  const std::vector<Got> got = run(damaged, options, 25);
  int replaced = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK((got[i].sample != 5 && got[i].sample != 77));
    if (expected[i].sample == 5 || expected[i].sample == 77) {
      ++replaced;
      CHECK(got[i].epoch == expected[i].epoch);
    } else {
      CHECK(got[i] == expected[i]);
    }
  }
  CHECK(replaced == 2);

  auto loader = *DataLoader::create(damaged, options);
  for (int i = 0; i < 25; ++i) REQUIRE(loader->next().ok());
  CHECK(loader->stats().broken == 2);
  CHECK(loader->stats().samples_read == 202);
  CHECK(loader->stats().wait_s > 0);
}

TEST_CASE("Too many broken samples stop the run with names and numbers", "[data]") {
  const auto dataset = std::make_shared<FakeDataset>(200);
  dataset->fail = [](int64_t index, int) {
    return index % 4 == 0 ? invalid_argument("no image") : ok_status();
  };
  auto loader =
      *DataLoader::create(dataset, {.micro_batch = 8, .global_batch = 8, .max_broken_share = 0.1});
  Status status;
  int batches = 0;
  for (; batches < 25 && status.ok(); ++batches) status = loader->next().status();
  CHECK(batches > 8);  // not before 100 reads
  CHECK(status.code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(message_of(status), Contains("too many broken samples") &&
                                     Contains("max_broken_share = 0.1") && Contains("fake:") &&
                                     Contains("no image"));
  CHECK(loader->next().status() == status);  // it stays so

  loader.reset();  // its threads read `fail`
  dataset->fail = [](int64_t, int) { return data_loss("all bad"); };
  auto hopeless =
      *DataLoader::create(dataset, {.micro_batch = 1, .global_batch = 1, .max_broken_share = 1.0});
  CHECK_THAT(message_of(hopeless->next().status()), Contains("no usable sample in 101 attempts"));
}

TEST_CASE("Read errors that pass are retried, others stop the run", "[data]") {
  const auto dataset = std::make_shared<FakeDataset>(8);
  dataset->fail = [](int64_t index, int attempt) {
    return index == 2 && attempt < 2 ? Status(absl::StatusCode::kUnavailable, "try again")
                                     : ok_status();
  };
  const DataLoaderOptions options = {
      .micro_batch = 8, .global_batch = 8, .shuffle = false, .prefetch_batches = 1};
  {
    auto loader = *DataLoader::create(dataset, options);
    const StatusOr<Batch> batch = loader->next();
    REQUIRE(batch.ok());
    CHECK(batch->sample[2].item<int64_t>() == 2);  // not replaced
    CHECK(loader->stats().broken == 0);
  }
  dataset->fail = [](int64_t index, int) {
    return index == 2 ? Status(absl::StatusCode::kUnavailable, "disk asleep") : ok_status();
  };
  CHECK_THAT(message_of((*DataLoader::create(dataset, options))->next().status()),
             Contains("cannot read fake:2") && Contains("disk asleep"));
  dataset->fail = [](int64_t index, int) -> Status {
    if (index == 2) throw Error("thrown");
    return ok_status();
  };
  CHECK_THAT(message_of((*DataLoader::create(dataset, options))->next().status()),
             Contains("thrown"));
}

TEST_CASE("A long wait notes in the trace which sample it is for", "[data]") {
  const auto data = std::make_shared<FakeDataset>(8);
  std::promise<void> go;
  std::shared_future<void> released = go.get_future().share();
  data->fail = [&](int64_t index, int) {
    if (index == 5) released.wait();
    return titan::ok_status();
  };
  auto loader = titan::DataLoader::create(
      data, {.micro_batch = 4, .global_batch = 4, .shuffle = false, .num_workers = 3});
  REQUIRE(loader.ok());
  titan::Trace trace(1);
  titan::set_current_trace(&trace);
  REQUIRE((*loader)->next().ok());
  std::string note;
  std::thread watcher([&] {
    for (int i = 0; note.empty() && i < 2000; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      note = trace.last_activity().note;
    }
    go.set_value();
  });
  REQUIRE((*loader)->next().ok());
  watcher.join();
  titan::set_current_trace(nullptr);
  CHECK(note == "fake:5 (global sample 5)");
}

TEST_CASE("Sizes that do not fit are refused with their numbers", "[data]") {
  const auto dataset = std::make_shared<FakeDataset>(8);
  const auto message = [&](const DataLoaderOptions& options) {
    return message_of(DataLoader::create(dataset, options).status());
  };
  CHECK_THAT(message({.micro_batch = 4, .global_batch = 12}),
             Contains("smaller than the global batch (8 samples") && Contains("12"));
  CHECK_THAT(message({.micro_batch = 4, .global_batch = 8, .subset_size = 5}),
             Contains("(5 samples"));
  CHECK_THAT(message({.micro_batch = 3, .global_batch = 8}), Contains("multiple of micro batch"));
  CHECK_THAT(message({.micro_batch = 1, .global_batch = 8, .dp_rank = 2, .dp_size = 2}),
             Contains("rank 2 of 2"));
  CHECK_THAT(message({.micro_batch = 8, .global_batch = 8, .start_cursor = 4}), Contains("cursor"));
}

TEST_CASE("A data set without captions gives none, and a loader ends in the middle of its work",
          "[data]") {
  const auto dataset = std::make_shared<FakeDataset>(64);
  dataset->with_captions = false;
  auto loader =
      *DataLoader::create(dataset, {.micro_batch = 8, .global_batch = 8, .prefetch_batches = 8});
  CHECK(loader->next()->captions.empty());
}

}  // namespace
}  // namespace titan
