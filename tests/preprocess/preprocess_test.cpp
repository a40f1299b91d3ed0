#include "tests/support/catch.h"
// First of all: Catch2 and LibTorch share macros.
#include <cmath>
#include <csignal>
#include <cstring>

#include "tests/preprocess/fake_job.h"
#include "tests/support/ranks.h"
#include "titan/data/encoded_rows.h"
#include "titan/preprocess/unit_loader.h"

using namespace titan;
using namespace titan::testing;
using namespace titan::preprocess;
namespace fs = std::filesystem;

namespace {

std::shared_ptr<FakeImages> images(int64_t count) { return std::make_shared<FakeImages>(count); }

/// What an uninterrupted run of one rank leaves behind.
std::map<std::string, std::string> whole_run(const std::string& format,
                                             const std::shared_ptr<FakeImages>& dataset) {
  const TemporaryFolder folder;
  REQUIRE(run_alone(fake_options(folder / "out", format), dataset).ok());
  return contents_of(folder / "out");
}

void check_same_files(const std::map<std::string, std::string>& actual,
                      const std::map<std::string, std::string>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (const auto& [name, bytes] : expected) {
    INFO(name);
    REQUIRE(actual.count(name) == 1);
    REQUIRE(actual.at(name) == bytes);
  }
}

}  // namespace

TEST_CASE("every usable sample is a row in stored order with the bits that encoding it gives",
          "[preprocess]") {
  for (const std::string format : {"arrow", "rows"}) {
    for (const bool named : {true, false}) {
      INFO(format << (named ? "" : " without names"));
      const TemporaryFolder folder;
      const auto dataset = images(41);
      dataset->broken = {0, 17};
      dataset->too_small = {40};
      dataset->with_keys = dataset->with_timesteps = named;
      REQUIRE(run_alone(fake_options(folder / "out", format), dataset).ok());
      const auto rows = open_encoded_rows(folder / "out", "test");
      INFO(message_of(rows.status()));
      REQUIRE(rows.ok());
      REQUIRE((*rows)->size() == 38);
      int64_t row = 0;
      for (int64_t index = 0; index < dataset->size(); ++index) {
        const StatusOr<Sample> sample = dataset->read(index, {});
        if (!sample.ok()) continue;
        Batch batch;  // as training encodes it: alone or among others, it is the same
        batch.sample = at::scalar_tensor(index, at::kLong).view({1});
        batch.fields.set("image", sample->fields.get("image").unsqueeze(0));
        batch.captions = {sample->caption};
        fake_encode(batch);
        const StatusOr<EncodedRow> stored = (*rows)->read(row++);
        REQUIRE(stored.ok());
        CHECK(stored->key == (named ? sample->key : std::to_string(index)));
        CHECK((stored->timestep == (named ? std::optional(index % 8) : std::nullopt)));
        for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
          const at::Tensor expected = batch.fields.get(kEncodedFields[field]).contiguous();
          REQUIRE(stored->values[field].size() == expected.nbytes());
          CHECK(std::memcmp(stored->values[field].data(), expected.const_data_ptr(),
                            expected.nbytes()) == 0);
        }
      }
      const std::string skipped = slurp(folder / "out/skipped.jsonl");
      CHECK(std::count(skipped.begin(), skipped.end(), '\n') == 3);
      CHECK_THAT(skipped, Catch::Matchers::Contains("fake:17: not a picture") &&
                              Catch::Matchers::Contains("fake:40: 4 x 4 pixels"));
    }
  }
}

TEST_CASE("ranks and batch sizes leave no trace in the files", "[preprocess]") {
  for (const std::string format : {"arrow", "rows"}) {
    const auto dataset = images(45);
    dataset->broken = {3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 44};  // one unit has none to write
    const auto expected = whole_run(format, dataset);
    for (const auto& [num_ranks, batch_size] :
         std::vector<std::pair<int, int64_t>>{{1, 1}, {1, 100}, {2, 4}, {3, 5}, {3, 7}}) {
      INFO(format << ", " << num_ranks << " ranks, batches of " << batch_size);
      const TemporaryFolder folder;
      PreprocessOptions options = fake_options(folder / "out", format);
      options.batch_size = batch_size;
      options.encode_together = num_ranks == 3;
      options.image_shape = {3, 16, 16};
      std::vector<std::atomic<int>> calls(3);
      run_ranks(num_ranks, [&](parallel::Communicator& ranks) {
        const auto encode = [&](Batch& batch) {
          ++calls[static_cast<std::size_t>(ranks.rank())];
          fake_encode(batch);
        };
        const StatusOr<JobOutcome> outcome = run_job(options, dataset, ranks, encode);
        TITAN_CHECK(outcome.ok(), outcome.status().ToString());
      });
      check_same_files(contents_of(folder / "out"), expected);
      if (options.encode_together) {
        CHECK(calls[0] == calls[1]);
        CHECK(calls[0] == calls[2]);
      }
      CHECK_FALSE(fs::exists(folder / ".tmp-out"));
    }
  }
}

TEST_CASE("a job that dies in any batch goes on, with other ranks and batches, to the same files",
          "[preprocess]") {
  const auto dataset = images(33);
  dataset->too_small = {8, 20};
  for (const std::string format : {"arrow", "rows"}) {
    const auto expected = whole_run(format, dataset);
    for (int deadly = 1; deadly <= 11; ++deadly) {
      INFO(format << ", dies in batch " << deadly);
      const TemporaryFolder folder;
      int calls = 0;
      const auto die = [&](Batch& batch) {
        if (++calls == deadly) throw Error("the power is gone");
        fake_encode(batch);
      };
      REQUIRE_THROWS(run_alone(fake_options(folder / "out", format), dataset, die));
      CHECK_FALSE(fs::exists(folder / "out"));
      PreprocessOptions options = fake_options(folder / "out", format);
      options.batch_size = 2 + deadly % 3;
      options.file_bytes = 100'000;  // of no account: the job has its files
      std::atomic<int64_t> encoded = 0;
      run_ranks(1 + deadly % 3, [&](parallel::Communicator& ranks) {
        const StatusOr<JobOutcome> outcome = run_job(options, dataset, ranks, [&](Batch& batch) {
          encoded += batch.size();
          fake_encode(batch);
        });
        TITAN_CHECK(outcome.ok(), outcome.status().ToString());
      });
      // Units of 6 or 7 samples; what the writer had committed is not encoded again.
      CHECK(encoded <= 31);
      check_same_files(contents_of(folder / "out"), expected);
    }
  }
}

TEST_CASE("a signal lets the unit end, and no done unit is encoded again", "[preprocess]") {
  const TemporaryFolder folder;
  const auto dataset = images(33);
  int64_t encoded = 0;
  const auto count = [&](Batch& batch) {
    encoded += batch.size();
    fake_encode(batch);
  };
  const PreprocessOptions options = fake_options(folder / "out");
  const int64_t unit =
      samples_per_unit(*find_encoded_format("arrow").value(), kFakeShapes, options.file_bytes, 33);
  const StatusOr<JobOutcome> stopped =
      run_alone(options, dataset, count, [&] { return encoded > unit ? SIGTERM : 0; });
  REQUIRE(stopped.ok());
  CHECK(*stopped == JobOutcome::kStopped);
  CHECK(encoded == 2 * unit);
  const StatusOr<JobOutcome> rest = run_alone(options, dataset, count);
  REQUIRE(rest.ok());
  CHECK(*rest == JobOutcome::kDone);
  CHECK(encoded == 33);
  // And once more: there is nothing to do, and nothing is done.
  REQUIRE(run_alone(options, dataset, count).ok());
  CHECK(encoded == 33);
  check_same_files(contents_of(folder / "out"), whole_run("arrow", dataset));
}

TEST_CASE("a job that dies while it puts its output together ends the work when called again",
          "[preprocess]") {
  const auto dataset = images(20);
  const auto expected = whole_run("arrow", dataset);
  const TemporaryFolder folder;
  // All units done, the first file has its name already.
  const PreprocessOptions options = fake_options(folder / "out");
  int64_t encoded = 0;
  REQUIRE(run_alone(
              options, dataset, [&](Batch& b) { encoded += b.size(), fake_encode(b); },
              [&] { return encoded > 12 ? SIGTERM : 0; })
              .ok());
  const JobPaths paths(options.output);
  REQUIRE(fs::exists(paths.unit_file(0)));
  const std::string first = expected.lower_bound("data-")->first;
  REQUIRE(first.starts_with("data-00000-of-"));
  fs::rename(paths.unit_file(0), paths.work() / first);
  REQUIRE(run_alone(options, dataset).ok());
  check_same_files(contents_of(folder / "out"), expected);
  // Everything done but the folder's name.
  fs::rename(folder / "out", folder / ".tmp-out");
  REQUIRE(run_alone(options, dataset, [](Batch&) { FAIL("nothing is left to encode"); }).ok());
  check_same_files(contents_of(folder / "out"), expected);
}

TEST_CASE("another job's data is never touched, and what differs is said", "[preprocess]") {
  const TemporaryFolder folder;
  const PreprocessOptions options = fake_options(folder / "out");
  const auto refuse = [&](const JobDescription& job, const std::string& with) {
    const auto no_encode = [](Batch&) { throw Error("must not be called"); };
    const StatusOr<JobOutcome> outcome = run_alone(
        options, images(20), no_encode, [] { return 0; }, job);
    REQUIRE_FALSE(outcome.ok());
    CHECK(exit_code_for(outcome.status()) == 2);
    CHECK_THAT(message_of(outcome.status()), Catch::Matchers::Contains(with));
  };
  const JobDescription other = {
      {"data set", "fake"}, {"T5 encoder", "another"}, {"crop", "center"}};
  SECTION("unfinished") {
    REQUIRE(run_alone(options, images(20), fake_encode, [] { return SIGTERM; }).value() ==
            JobOutcome::kStopped);
    const auto before = contents_of(folder / ".tmp-out");
    refuse(other, "T5 encoder (t5 of the test there, another here), crop (nothing there, center");
    CHECK(contents_of(folder / ".tmp-out") == before);
  }
  SECTION("finished") {
    REQUIRE(run_alone(options, images(20)).ok());
    const auto before = contents_of(folder / "out");
    refuse(other, "another job");
    CHECK(contents_of(folder / "out") == before);
  }
  SECTION("no job at all") {
    folder.write("out/thesis.tex", "years of work");
    refuse(kFakeDescription, "is not the output of a preprocessing job");
    CHECK(slurp(folder / "out/thesis.tex") == "years of work");
  }
  SECTION("a file") {
    folder.write("out", "a file");
    refuse(kFakeDescription, "is not the output of a preprocessing job");
  }
}

TEST_CASE("two jobs on one folder: the second says who is at work", "[preprocess]") {
  const TemporaryFolder folder;
  parallel::Communicator alone;
  const PreprocessOptions options = fake_options(folder / "out");
  const auto first = PreprocessJob::open(options, images(9), kFakeShapes, kFakeDescription, alone);
  REQUIRE(first.ok());
  const StatusOr<JobOutcome> second = run_alone(options, images(9));
  REQUIRE_FALSE(second.ok());
  CHECK(exit_code_for(second.status()) == 2);
  CHECK_THAT(message_of(second.status()), Catch::Matchers::Contains(str_cat("pid ", ::getpid())) &&
                                              Catch::Matchers::Contains("at work"));
}

TEST_CASE("hopeless and odd samples", "[preprocess]") {
  const TemporaryFolder folder;
  const PreprocessOptions options = fake_options(folder / "out");
  const auto dataset = images(10);
  SECTION("none usable") {
    for (int64_t i = 0; i < 10; ++i) dataset->broken.insert(i);
    const StatusOr<JobOutcome> outcome = run_alone(options, dataset);
    REQUIRE_FALSE(outcome.ok());
    CHECK_THAT(message_of(outcome.status()),
               Catch::Matchers::Contains("no sample could be used") &&
                   Catch::Matchers::Contains("fake:0: not a picture"));
  }
  SECTION("a disk that fails is no broken sample") {
    dataset->unreadable = {4};
    const StatusOr<JobOutcome> outcome = run_alone(options, dataset);
    REQUIRE_FALSE(outcome.ok());
    CHECK_THAT(message_of(outcome.status()), Catch::Matchers::Contains("fake:4: the disk is gone"));
  }
  SECTION("encodings that are no numbers are left out by name") {
    const auto encode = [](Batch& batch) {
      const at::Tensor odd = batch.sample == 6;
      fake_encode(batch);
      const at::Tensor clip = batch.fields.get("clip_encodings");
      clip.masked_fill_(odd.unsqueeze(1), std::nan(""));
    };
    REQUIRE(run_alone(options, dataset, encode).ok());
    CHECK(open_encoded_rows(folder / "out", "test").value()->size() == 9);
    CHECK_THAT(slurp(folder / "out/skipped.jsonl"),
               Catch::Matchers::Contains("key-36: column 'clip_encodings' holds NaN"));
  }
  SECTION("texts that are no UTF-8") {
    dataset->bad_text = 2;
    REQUIRE(run_alone(options, dataset).ok());
    const auto rows = open_encoded_rows(folder / "out", "test").value();
    REQUIRE(rows->size() == 10);
    CHECK(rows->read(2)->key == "2");
    CHECK(rows->read(3)->key == "key-9");
  }
  SECTION("an encoder that breaks its word") {
    const auto encode = [](Batch& batch) {
      fake_encode(batch);
      batch.fields.set("mean", batch.fields.get("mean").transpose(1, 2).contiguous());
    };
    const StatusOr<JobOutcome> outcome = run_alone(options, dataset, encode);
    REQUIRE_FALSE(outcome.ok());
    CHECK_THAT(message_of(outcome.status()),
               Catch::Matchers::Contains("'mean'") && Catch::Matchers::Contains("announced"));
  }
}

TEST_CASE("steps: every sample once, as many steps on every rank", "[preprocess]") {
  for (const int num_ranks : {1, 2, 3, 8}) {
    std::map<int64_t, int> seen;
    std::set<std::size_t> lengths;
    for (int rank = 0; rank < num_ranks; ++rank) {
      const std::vector<Step> steps = steps_of_rank({0, 2, 3, 5}, 52, 10, 4, rank, num_ranks);
      lengths.insert(steps.size());
      for (const Step& step : steps) {
        CHECK(step.end - step.begin <= 4);
        for (int64_t i = step.begin; i < step.end; ++i) {
          CHECK(i / 10 == step.unit);
          ++seen[i];
        }
      }
    }
    CHECK(lengths.size() == 1);
    CHECK(seen.size() == 32);
    for (const auto& [index, times] : seen) CHECK(times == 1);
  }
}
