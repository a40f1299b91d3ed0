// MDS data sets on a server: the same samples as from a folder, and what a server or an index may
// do wrong.
#include "tests/support/catch.h"

#include <sys/resource.h>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <sstream>
#include <thread>

#include <ATen/ATen.h>
#include <xxhash.h>

#include "titan/config/job_config.h"
#include "titan/data/dataloader.h"
#include "titan/data/dataset.h"
#include "titan/data/mds_set.h"

#include "tests/data/mds_bytes.h"
#include "tests/io/remote_fixture.h"

namespace titan {
namespace {

using absl::StatusCode;
using Catch::Matchers::Contains;
using nlohmann::json;
using testing::can_serve;
using testing::Environment;
using testing::MdsShardBytes;
using testing::Remote;

constexpr int kShards = 4;
constexpr int kRows = 6;  // of each shard

std::string xxh64_hex(const std::string& bytes) {
  std::ostringstream hex;
  hex << std::hex << XXH64(bytes.data(), bytes.size(), 0);
  const std::string digits = hex.str();
  return std::string(16 - digits.size(), '0') + digits;
}

/// Four shards of six rows and 100 KB each, the odd ones compressed.
struct ServedShards : Remote {
  Environment cache{testing::Variables{{"TITAN_CACHE", here.file("home")}}};
  std::vector<json> entries;
  std::uint64_t raw_bytes = 0;

  ServedShards() {
    auto columns = testing::kMdsColumns;
    columns.push_back({"other", "bytes", {}});
    for (int number = 0; number < kShards; ++number) {
      auto rows = testing::rows_of(kRows * number, kRows);
      for (auto& row : rows) row.push_back(testing::numbered_bytes(16'000));
      // A name that an address has to escape.
      const std::string name = str_cat("sub/shard #", number, ".mds");
      MdsShardBytes shard = testing::make_shard(name, columns, rows);
      raw_bytes = std::max<std::uint64_t>(raw_bytes, shard.bytes.size());
      const bool zip = number % 2 == 1;
      const std::string sent = zip ? testing::compressed(shard.bytes) : shard.bytes;
      folder.write(name + (zip ? ".zstd" : ""), sent);
      const json described = {{"basename", name + (zip ? ".zstd" : "")},
                              {"bytes", sent.size()},
                              {"hashes", {{"xxh64", xxh64_hex(sent)}, {"crc32", "0"}}}};
      shard.entry["compression"] = zip ? json("zstd:3") : json();
      shard.entry[zip ? "zip_data" : "raw_data"] = described;
      entries.push_back(shard.entry);
    }
    write_mds_index(folder, entries);
  }

  JobConfig config(const std::string& path) const {
    JobConfig config;
    config.training.dataset = "mds";
    config.training.dataset_path = path;
    config.training.img_size = 8;
    config.dataset.cache_dir = here.file("cache");
    config.dataset.remote_deadline_s = 3;
    return config;
  }
  JobConfig config_of(const std::string& fault) const { return config(server.url(fault + "/")); }

  std::shared_ptr<const Dataset> open(const JobConfig& config) const {
    StatusOr<std::unique_ptr<Dataset>> data = open_dataset(config);
    INFO(message_of(data.status()));
    REQUIRE(data.ok());
    return *std::move(data);
  }

  /// Requests for bytes whose line holds `part`, in their order.
  std::vector<std::string> fetches(const std::string& part = "shard") const {
    std::vector<std::string> found;
    std::istringstream lines(log());
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("GET") && line.find(part) != std::string::npos) found.push_back(line);
    return found;
  }
  std::string file_of(int number) const {
    return str_cat("sub/shard #", number, ".mds", number % 2 == 1 ? ".zstd" : "");
  }
  void empty_cache() const { std::filesystem::remove_all(here.file("cache")); }
};

/// Name, key, caption and first pixel of a sample, or why there is none.
std::string described(const Dataset& data, int64_t index) {
  const StatusOr<Sample> sample = data.read(index, {});
  if (!sample.ok()) return message_of(sample.status());
  return str_cat(data.describe(index), " ", sample->key, " ", sample->caption, " ",
                 sample->fields.get("image")[0][0][0].item<float>());
}
std::string contents(const Dataset& data) {
  std::string text;
  for (int64_t i = 0; i < data.size(); ++i) text += described(data, i) + "\n";
  return text;
}

TEST_CASE("MDS shards on a server are the data set that they are in a folder", "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedShards served;
  const auto local = served.open(served.config(served.folder.path().string()));
  REQUIRE(local->size() == kShards * kRows);
  CHECK_THAT(contents(*local), Contains("sub/shard #3.mds:5 23 t23"));
  const Environment environment(served.server.s3_variables());
  for (const std::string& path :
       {served.server.url("files/"), served.server.url("redirect"),
        served.server.url("norange/index.json"), std::string("s3://bucket/"),
        std::string("s3://bucket/index.json"), served.server.url("500twice/"),
        served.server.url("broken/"), served.server.url("brokennorange/"),
        served.server.url("corrupt/")}) {
    INFO(path);
    // The index's own hash is nowhere: a bit that turns there may show as anything.
    if (path.find("corrupt") != std::string::npos)
      static_cast<void>(open_dataset(served.config(path)));
    served.empty_cache();
    const auto remote = served.open(served.config(path));
    CHECK(remote->size() == local->size());
    CHECK(remote->fingerprint() == local->fingerprint());
    CHECK(contents(*remote) == contents(*local));
  }
  CHECK(served.fetches("GET /corrupt/sub").size() == 2 * kShards);  // each a second time, whole

  // What is here is not asked for again; index.json is, once a run.
  served.empty_cache();
  contents(*served.open(served.config_of("files")));
  const auto before = served.fetches("/files/").size();
  CHECK(contents(*served.open(served.config_of("files"))) == contents(*local));
  CHECK(served.fetches("/files/").size() == before + 1);
  CHECK_THAT(served.log(), !Contains("HEAD"));
}

/// Samples in the order in which a loader delivers them over two epochs.
std::vector<int64_t> order_of(const std::shared_ptr<const Dataset>& data, bool shuffle,
                              int num_ranks) {
  std::vector<std::unique_ptr<DataLoader>> loaders;
  for (int rank = 0; rank < num_ranks; ++rank)
    loaders.push_back(*DataLoader::create(data, {.micro_batch = 2,
                                                 .global_batch = 4,
                                                 .dp_rank = rank,
                                                 .dp_size = num_ranks,
                                                 .seed = 11,
                                                 .shuffle = shuffle}));
  std::vector<int64_t> order;
  for (int step = 0; step < 2 * kShards * kRows / 4; ++step)
    for (const auto& loader : loaders)
      for (int micro = 0; micro < 2 / num_ranks; ++micro) {
        const StatusOr<Batch> batch = loader->next();
        INFO(message_of(batch.status()));
        REQUIRE(batch.ok());
        for (int64_t i = 0; i < batch->size(); ++i) {
          order.push_back(batch->sample[i].item<int64_t>());
          CHECK(batch->captions.at(static_cast<std::size_t>(i)) == str_cat("t", order.back()));
        }
      }
  return order;
}

TEST_CASE("The order of samples is the same from a folder, a server and a small cache", "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedShards served;
  const auto local = served.open(served.config(served.folder.path().string()));
  for (const bool shuffle : {true, false}) {
    const std::vector<int64_t> order = order_of(local, shuffle, 1);
    REQUIRE(order.size() == 2 * kShards * kRows);
    served.empty_cache();
    CHECK(order_of(served.open(served.config_of("files")), shuffle, 1) == order);
    CHECK(order_of(served.open(served.config_of("files")), shuffle, 2) == order);
    served.empty_cache();
    JobConfig small = served.config_of("files");
    small.dataset.cache_gib = 3.5 * static_cast<double>(served.raw_bytes) / (1 << 30);
    small.dataset.remote_deadline_s = 20;
    CHECK(order_of(served.open(small), shuffle, 1) == order);
    std::uint64_t bytes = 0;
    for (const auto& file :
         std::filesystem::recursive_directory_iterator(served.here.file("cache/data")))
      if (file.is_regular_file()) bytes += file.file_size();
    CHECK(2 * bytes <= 7 * served.raw_bytes);
  }
}

TEST_CASE("A shard that is being read stays, whatever makes room", "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedShards served;
  JobConfig small = served.config_of("files");
  small.dataset.cache_gib = 2.5 * static_cast<double>(served.raw_bytes) / (1 << 30);
  const auto set = *MdsSet::open(small);
  const std::shared_ptr<const MdsShard> first = *set->open(0);
  for (int round = 0; round < 2; ++round)
    for (std::size_t shard = 1; shard < kShards; ++shard) {
      const auto opened = set->open(shard);
      INFO(message_of(opened.status()));
      REQUIRE(opened.ok());
      CHECK(std::filesystem::exists((*opened)->path()));
      CHECK(std::filesystem::exists(first->path()));
    }
  CHECK(served.fetches("shard%20%230").size() == 1);
  CHECK(served.fetches("shard%20%231").size() == 2);  // made room, and came again
  CHECK(first->values(kRows - 1)->at(0).size() == 2);
}

/// Whether `done` comes true within some seconds.
bool comes(const std::function<bool()>& done) {
  for (int i = 0; i < 500 && !done(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return done();
}

TEST_CASE("Shards are fetched ahead in the order they are needed, as far as there is room",
          "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedShards served;
  const auto fetched = [&](int number) {
    return served.fetches(str_cat("shard%20%23", number)).size();
  };
  // Samples of shards 2, 0, 3: one is fetched ahead, there is no room for a second unread one.
  JobConfig small = served.config_of("files");
  small.dataset.cache_gib = 4.5 * static_cast<double>(served.raw_bytes) / (1 << 30);
  {
    const auto set = *MdsSet::open(small);
    set->expect({2 * kRows, 2 * kRows + 1, 0, 3 * kRows, 2 * kRows});
    CHECK(comes([&] { return fetched(2) == 1; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    CHECK(served.fetches().size() == 1);
    REQUIRE(set->open(2).ok());
    CHECK(comes([&] { return fetched(0) == 1; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    CHECK(served.fetches().size() == 2);
    set->expect({kRows});  // another order: what was fetched for the old one does not count
    CHECK(comes([&] { return fetched(1) == 1; }));
  }
  const auto large = *MdsSet::open(served.config_of("nohead"));
  large->expect({3 * kRows, 2 * kRows, 1 * kRows, 0});
  CHECK(comes([&] { return served.fetches("/nohead/sub").size() == kShards; }));
}

TEST_CASE("An MDS index on a server that cannot be used says where and why", "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedShards served;
  const auto status_of = [&](const std::string& path) {
    return open_dataset(served.config(path)).status();
  };
  const Status absent = status_of(served.server.url("files/nowhere/?key=hidden"));
  CHECK(absent.code() == StatusCode::kNotFound);
  CHECK_THAT(message_of(absent),
             Contains(served.server.url("files/nowhere/") + " has no index.json") &&
                 Contains(served.server.url("files/nowhere/index.json")) && Contains("HTTP 404") &&
                 !Contains("hidden"));
  CHECK(status_of(served.server.url("403/")).code() == StatusCode::kPermissionDenied);
  CHECK(status_of(served.server.url("loop/")).code() == StatusCode::kFailedPrecondition);
  const auto start = std::chrono::steady_clock::now();
  for (const char* fault : {"503/", "stallalways/", "brokenalways/"}) {
    const Status down = status_of(served.server.url(fault));
    CHECK(down.code() == StatusCode::kUnavailable);
    CHECK_THAT(message_of(down), Contains(str_cat(fault, "index.json")) &&
                                     Contains("dataset.remote_deadline_s is 3"));
  }
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(15));

  const auto problem_with = [&](const std::string& text) {
    served.folder.write("index.json", text);
    return message_of(status_of(served.server.url("files/")));
  };
  CHECK_THAT(problem_with("<html>"), Contains("files/index.json is not a JSON object"));
  CHECK_THAT(problem_with(R"({"shardlist": []})"), Contains("training.dataset=webdataset"));
  CHECK_THAT(problem_with(R"({"shards": []})"), Contains("no samples in") && Contains("files/"));
  const auto problem_of = [&](const char* pointer, const json& value) {
    json index = {{"version", 2}, {"shards", served.entries}};
    index["shards"][0][json::json_pointer(pointer)] = value;
    return problem_with(index.dump());
  };
  for (const char* name : {"../secret", "/etc/passwd", "a/../../b", ""})
    CHECK_THAT(problem_of("/raw_data/basename", name), Contains("leaves the folder"));
  CHECK_THAT(problem_of("/raw_data/hashes", {{"sha1", "not hex"}}), Contains("hex digits"));
  CHECK_THAT(problem_of("/raw_data/hashes", "sha1"), Contains("hex digits"));
  CHECK_THAT(problem_of("/raw_data/bytes", -1), Contains("no count of \"bytes\""));
  // An address as a name is a file below the folder.
  CHECK(problem_of("/raw_data/basename", "http://other/x").empty());
  const Status inside =
      (*open_dataset(served.config(served.server.url("files/"))))->read(0, {}).status();
  CHECK(inside.code() == StatusCode::kNotFound);
  CHECK_THAT(message_of(inside), Contains(served.server.url("files/http%3A//other/x")));
}

TEST_CASE("Shards that are not what index.json says stop a job; damaged ones are skipped",
          "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedShards served;
  const auto write_without_hashes = [&] {
    std::vector<json> entries = served.entries;
    for (json& entry : entries)
      for (const char* key : {"raw_data", "zip_data"})
        if (entry[key].is_object()) entry[key].erase("hashes");
    write_mds_index(served.folder, entries);
  };
  const auto problem = [&](int shard) {
    return served.open(served.config_of("files"))->read(shard * kRows, {}).status();
  };
  const std::string good = testing::slurp(served.folder.file(served.file_of(0)));
  const std::string zip = testing::slurp(served.folder.file(served.file_of(1)));

  served.folder.write(served.file_of(0), good + "!");
  CHECK(problem(0).code() == StatusCode::kFailedPrecondition);
  CHECK_THAT(message_of(problem(0)),
             Contains("files/sub/shard%20%230.mds") &&
                 Contains(str_cat("has ", good.size() + 1, " bytes, not ", good.size())));
  std::string changed = good;
  changed[good.size() / 2] = static_cast<char>(changed[good.size() / 2] ^ 1);
  served.folder.write(served.file_of(0), changed);
  const Status hash = problem(0);
  CHECK(hash.code() == StatusCode::kFailedPrecondition);
  CHECK_THAT(message_of(hash), Contains("shard%20%230.mds") &&
                                   Contains("its xxh64 is " + xxh64_hex(changed) + ", not " +
                                            xxh64_hex(good) + " as index.json says") &&
                                   Contains("downloaded twice"));
  served.folder.write(served.file_of(0), good);
  CHECK(message_of(problem(0)) == "");  // nothing wrong stayed in the cache

  // Without hashes a shard of the right size shows its damage when it is opened.
  write_without_hashes();
  changed = zip;
  changed[8] = static_cast<char>(changed[8] ^ 0x55);  // of the size that the frame announces
  served.folder.write(served.file_of(1), changed);
  const auto data = served.open(served.config_of("files"));
  const auto before = served.fetches("shard%20%231").size();
  for (int row = 0; row < kRows; ++row) {
    const Status damaged = data->read(kRows + row, {}).status();
    CHECK(damaged.code() == StatusCode::kDataLoss);
    CHECK_THAT(message_of(damaged), Contains("files/sub/shard%20%231.mds.zstd"));
  }
  CHECK(served.fetches("shard%20%231").size() == before + 1);  // not once a sample
  served.folder.write(served.file_of(1), zip);
  CHECK(message_of(problem(1)) == "");
  // A shard that went away under a running job.
  std::filesystem::remove(served.folder.file(served.file_of(2)));
  CHECK(problem(2).code() == StatusCode::kNotFound);
}

TEST_CASE("A cache or a disk without room for a shard is said", "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedShards served;
  JobConfig config = served.config_of("files");
  config.dataset.cache_gib = 0.8 * static_cast<double>(served.raw_bytes) / (1 << 30);
  const auto tight = served.open(config);
  for (const int64_t index : {0, kRows}) {
    const Status large = tight->read(index, {}).status();
    CHECK(large.code() == StatusCode::kResourceExhausted);
    CHECK_THAT(message_of(large),
               Contains("more than the whole cache") && Contains("dataset.cache_gib"));
  }
  const auto data = served.open(served.config_of("files"));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  // Files may grow no further, as on a full disk. The compressed shard fits, unpacked it does not.
  const rlimit small{.rlim_cur = 60'000, .rlim_max = before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const Status plain = data->read(0, {}).status();
  const Status unpacked = data->read(kRows, {}).status();
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  for (const Status& full : {plain, unpacked}) {
    CHECK(full.code() == StatusCode::kResourceExhausted);
    CHECK_THAT(message_of(full), Contains("disk of the cache") && Contains("is full"));
  }
  CHECK(data->read(kRows, {}).ok());  // once there is room again
}

TEST_CASE("A server of MDS shards that fails while a job reads is an error that may pass",
          "[data]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const ServedShards served;
  for (const char* fault : {"only-503", "only-stallalways", "only-brokenalways"}) {
    JobConfig config = served.config_of(fault);
    config.dataset.remote_deadline_s = 1;
    const auto start = std::chrono::steady_clock::now();
    const Status down = served.open(config)->read(0, {}).status();
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(4));
    CHECK(down.code() == StatusCode::kUnavailable);
    CHECK_THAT(message_of(down),
               Contains(str_cat(fault, "/sub/shard%20%230.mds")) && Contains("given up after"));
  }
}

}  // namespace
}  // namespace titan
