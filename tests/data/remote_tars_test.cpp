#include "tests/support/catch.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include <ATen/ATen.h>

#include "titan/config/job_config.h"
#include "titan/data/dataset.h"
#include "titan/data/remote_tars.h"
#include "titan/io/image_write.h"
#include "titan/io/remote/s3.h"
#include "titan/io/remote/shard_counts.h"

#include "tests/io/remote_fixture.h"
#include "tests/support/tar_builder.h"

namespace titan {
namespace {

using absl::StatusCode;
using Catch::Matchers::Contains;
using testing::can_serve;
using testing::Environment;
using testing::Remote;
using testing::TarBuilder;

constexpr int kTars = 4;
constexpr int kSamples = 3;  // of each tar

std::string picture(int gray) {
  Image image(8, 8, PixelMode::kGray);
  std::fill(image.pixels.begin(), image.pixels.end(), static_cast<std::uint8_t>(gray));
  const auto bytes = *encode_jpeg(image);
  return {bytes.begin(), bytes.end()};
}

/// Four tars of three samples each, 64 KiB a tar.
struct ServedTars : Remote {
  Environment cache{testing::Variables{{"TITAN_CACHE", here.file("home")}}};
  std::uint64_t tar_bytes = 0;

  ServedTars() {
    for (int t = 0; t < kTars; ++t) {
      TarBuilder tar;
      for (int s = 0; s < kSamples; ++s)
        tar.add(str_cat(s, ".jpg"), picture(50 * t + 10 * s))
            .add(str_cat(s, ".txt"), str_cat("tar ", t, " sample ", s))
            .add(str_cat(s, ".bin"), std::string(20'000, 'x'));
      tar_bytes = tar.finished().size();
      folder.write(str_cat("t-", t, ".tar"), tar.finished());
    }
  }

  void write_index(std::int64_t samples_of_last = kSamples) const {
    std::vector<ShardCount> counts;
    for (int t = 0; t < kTars; ++t)
      counts.push_back(
          {str_cat("t-", t, ".tar"), t + 1 < kTars ? kSamples : samples_of_last, tar_bytes});
    folder.write("index.json", render_shard_counts(counts));
  }

  JobConfig config(const std::string& path) const {
    JobConfig config;
    config.training.dataset = "webdataset";
    config.training.dataset_path = path;
    config.dataset.image_size = {8, 8};
    config.dataset.cache_dir = here.file("cache");
    config.dataset.remote_deadline_s = 2;
    return config;
  }

  /// How often the server was asked for the bytes of a tar.
  int fetches(const std::string& name = ".tar") const {
    int found = 0;
    std::istringstream lines(log());
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("GET") && line.find(name) != std::string::npos) ++found;
    return found;
  }
};

/// Captions and first pixels of all samples.
std::string contents(const Dataset& dataset) {
  std::string text;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const StatusOr<Sample> sample = dataset.read(i, {});
    text += sample.ok() ? str_cat(sample->caption, " ",
                                  sample->fields.get("image")[0][0][0].item<float>(), "\n")
                        : message_of(sample.status());
  }
  return text;
}

TEST_CASE("Tars on a server are the data set that they are in a folder", "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedTars served;
  const auto local = *open_dataset(served.config(served.folder.path().string()));
  const Environment environment(served.server.s3_variables());
  for (const std::string& path :
       {served.server.url("files/t-{0..3}.tar"), std::string("s3://bucket/"),
        served.server.url("500twice/t-{0..3}.tar"), served.server.url("broken/t-{0..3}.tar")}) {
    INFO(path);
    const StatusOr<std::unique_ptr<Dataset>> remote = open_dataset(served.config(path));
    INFO(message_of(remote.status()));
    REQUIRE(remote.ok());
    CHECK((*remote)->size() == kTars * kSamples);
    CHECK((*remote)->fingerprint() == local->fingerprint());
    CHECK(contents(**remote) == contents(*local));
    CHECK((*remote)->describe(4) == "t-1.tar sample 1");  // needs no download
    CHECK((*remote)->class_names().empty());
  }
  // All is in the cache: a second run asks for no tar again.
  const int before = served.fetches("/files/t-");
  CHECK(contents(**open_dataset(served.config(served.server.url("files/t-{0..3}.tar")))) ==
        contents(*local));
  CHECK(served.fetches("/files/t-") == before);
  CHECK(before == kTars);
}

TEST_CASE("With index.json a job begins before it has fetched the tars", "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedTars served;
  served.write_index();
  const auto local = *open_dataset(served.config(served.folder.path().string()));
  const auto remote = *open_dataset(served.config(served.server.url("files/")));
  CHECK(remote->size() == kTars * kSamples);
  CHECK(remote->fingerprint() == local->fingerprint());
  CHECK(served.fetches("t-3.tar") == 0);
  CHECK_THAT(served.log(), !Contains("HEAD"));  // sizes are known too
  CHECK(contents(*remote) == contents(*local));
  for (int t = 0; t < kTars; ++t) CHECK(served.fetches(str_cat("t-", t, ".tar")) == 1);
}

TEST_CASE("A cache smaller than the data set fetches again what made room", "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedTars served;
  const auto local = *open_dataset(served.config(served.folder.path().string()));
  JobConfig config = served.config(served.server.url("files/t-{0..3}.tar"));
  config.dataset.cache_gib = 2.5 * static_cast<double>(served.tar_bytes) / (1 << 30);
  const auto remote = *open_dataset(config);
  CHECK(served.fetches() <= kTars + 2);  // counted once; two looked at again, for classes
  CHECK(contents(*remote) == contents(*local));
  CHECK(contents(*remote) == contents(*local));
  CHECK(served.fetches() > 2 * kTars);
  // The counts outlive the tars.
  const int before = served.fetches();
  CHECK((*open_dataset(config))->size() == kTars * kSamples);
  CHECK(served.fetches() <= before + 2);  // the first tar is looked at, the next fetched ahead
  std::uint64_t bytes = 0;
  for (const auto& file :
       std::filesystem::recursive_directory_iterator(served.here.file("cache/data")))
    if (file.is_regular_file()) bytes += file.file_size();
  CHECK(2 * bytes <= 5 * served.tar_bytes);
}

TEST_CASE("What a server does wrong with tars is said", "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedTars served;
  const auto error = [&](const std::string& path) {
    const Status status = open_dataset(served.config(path)).status();
    CHECK(status.code() != StatusCode::kOk);
    return message_of(status);
  };
  CHECK_THAT(error(served.server.url("files/t-{0..9}.tar")), Contains("t-") && Contains("404"));
  CHECK_THAT(error(served.server.url("files/")), Contains("index-shards"));
  served.folder.write("page.tar", "<html>welcome</html>");
  CHECK_THAT(error(served.server.url("files/page.tar")),
             Contains("files/page.tar") && Contains("not a tar"));
  CHECK_THAT(error(served.server.url("files/t-0.tar") + "::" + served.folder.file("t-1.tar")),
             Contains("mixes"));
  JobConfig small = served.config(served.server.url("files/t-0.tar"));
  small.dataset.cache_gib = 1e-6;
  CHECK_THAT(message_of(open_dataset(small).status()), Contains("more than the whole cache"));

  served.write_index(/*samples_of_last=*/7);
  const auto wrong = *open_dataset(served.config(served.server.url("files/")));
  CHECK(wrong->size() == 16);
  const Status mismatch = wrong->read(15, {}).status();
  CHECK(mismatch.code() == StatusCode::kFailedPrecondition);
  CHECK_THAT(message_of(mismatch),
             Contains("holds 3 samples, its index.json says 7") && Contains("index-shards"));
  CHECK(wrong->describe(15) == "t-3.tar sample 6");
}

TEST_CASE("A server that fails while a job reads is an error that may pass", "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedTars served;
  served.write_index();
  for (const char* fault : {"503/", "files/"}) {
    JobConfig config = served.config(served.server.url(fault) + "t-{0..3}.tar");
    config.dataset.cache_dir = served.here.file("other");
    config.dataset.remote_deadline_s = 0.4;
    config.dataset.num_classes = 0;
    StatusOr<std::unique_ptr<Dataset>> dataset = open_dataset(config);
    if (std::string(fault) == "503/") {
      CHECK(dataset.status().code() == StatusCode::kUnavailable);
      continue;
    }
    REQUIRE(dataset.ok());
    std::filesystem::remove(served.folder.file("t-3.tar"));
    CHECK((*dataset)->read(kSamples * kTars - 1, {}).status().code() == StatusCode::kNotFound);
  }
}

}  // namespace
}  // namespace titan
