// MosaicML's shards: written here byte by byte (a broken one needs to be), and read against what
// their own library has written (tests/golden/mds).
#include "tests/support/catch.h"

#include <filesystem>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "titan/data/dataset.h"

#include "tests/data/image_rows.h"
#include "tests/data/mds_bytes.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;
using nlohmann::json;
using testing::compressed;
using testing::config_of;
using testing::error_of;
using testing::kMdsColumns;
using testing::make_shard;
using testing::MdsColumnSpec;
using testing::MdsShardBytes;
using testing::rows_of;
using testing::TarFolder;
using testing::word;

std::string problem(const Dataset& data, int64_t index) {
  return message_of(data.read(index, {}).status());
}

TEST_CASE("MDS shards are one data set, compressed or not", "[data]") {
  const TarFolder folder;
  const MdsShardBytes first = make_shard("shard.00000.mds", kMdsColumns, rows_of(0, 3));
  MdsShardBytes second = make_shard("sub/shard.00001.mds", kMdsColumns, rows_of(3, 2));
  folder.write("shard.00000.mds", first.bytes);
  folder.write("sub/shard.00001.mds.zstd", compressed(second.bytes));
  second.entry["compression"] = "zstd:7";
  second.entry["zip_data"] = {{"basename", "sub/shard.00001.mds.zstd"}, {"bytes", 1}};
  testing::write_mds_index(folder, {first.entry, second.entry});
  const auto data = *open_dataset(config_of("mds", folder.path().string()));
  REQUIRE(data->size() == 5);
  for (const int64_t i : {4, 0, 3, 1, 2}) {
    const Sample sample = *data->read(i, {});
    CHECK(sample.caption == str_cat("t", i));
    CHECK(sample.key == std::to_string(i));
    CHECK(sample.fields.get("image")[1][7][7].item<float>() ==
          static_cast<float>(i) / 255.0F * 2.0F - 1.0F);
  }
  CHECK(data->describe(4) == "sub/shard.00001.mds:1");
  // Unpacked once: the next run does not need the compressed file's contents.
  const auto again = *open_dataset(config_of("mds", folder.path().string()));
  CHECK(again->read(4, {})->caption == "t4");
  CHECK(again->fingerprint() == data->fingerprint());
}

TEST_CASE("Damaged MDS shards are named", "[data]") {
  const TarFolder folder;
  const std::string path = folder.path().string();
  MdsShardBytes shard = make_shard("shard.00000.mds", kMdsColumns, rows_of(0, 3));
  const auto read_with = [&](const std::string& bytes) {
    folder.write("shard.00000.mds", bytes);
    testing::write_mds_index(folder, {shard.entry});
    return problem(**open_dataset(config_of("mds", path)), 1);
  };
  CHECK(read_with(shard.bytes).empty());
  CHECK_THAT(read_with(shard.bytes.substr(0, 100)),
             Contains("shard.00000.mds has 100 bytes, index.json says"));
  std::string bytes = shard.bytes;
  bytes[0] = 9;
  CHECK_THAT(read_with(bytes), Contains("holds 9 samples, index.json says 3"));
  bytes = shard.bytes;
  bytes.replace(8, 4, word(0xFFFFFFF0));
  CHECK_THAT(read_with(bytes), Contains("sample 1: offsets out of range (4294967280"));
  bytes = shard.bytes;
  const std::size_t begin = static_cast<unsigned char>(bytes[8]) +
                            256 * std::size_t{static_cast<unsigned char>(bytes[9])};
  bytes.replace(begin, 4, word(0xFFFFFFFF));
  CHECK_THAT(read_with(bytes), Contains("sample 1: the values do not fill its"));
  bytes = shard.bytes;
  bytes.replace(begin, 4, word(1));
  CHECK_THAT(read_with(bytes), Contains("the values do not fill its"));
  // Every single changed byte gives a sample or an error.
  for (std::size_t at = 0; at < shard.bytes.size(); at += 3) {
    bytes = shard.bytes;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x85);
    read_with(bytes);
  }
  shard.entry["samples"] = 1 << 30;
  CHECK_THAT(read_with(shard.bytes), Contains("too short for the offsets of 1073741824 samples"));
}

TEST_CASE("Compressed MDS shards of a wrong size are named", "[data]") {
  const TarFolder folder;
  MdsShardBytes shard = make_shard("shard.00000.mds", kMdsColumns, rows_of(0, 3));
  shard.entry["compression"] = "zstd";
  shard.entry["zip_data"] = {{"basename", "shard.00000.mds.zstd"}, {"bytes", 1}};
  const std::string zip = compressed(shard.bytes);
  const auto read_with = [&](const std::string& bytes) {
    folder.write("shard.00000.mds.zstd", bytes);
    testing::write_mds_index(folder, {shard.entry});
    const auto data = *open_dataset(config_of("mds", folder.path().string()));
    const std::string first = problem(*data, 1);
    CHECK(data->read(1, {}).status().code() ==
          (first.empty() ? absl::StatusCode::kOk : absl::StatusCode::kDataLoss));
    return first;
  };
  CHECK_THAT(read_with(zip.substr(0, zip.size() - 5)), Contains("mds.zstd ends early"));
  CHECK_THAT(read_with(""), Contains("mds.zstd ends early (0 of"));
  CHECK_THAT(read_with("no zstd at all"), Contains("mds.zstd is damaged"));
  CHECK_THAT(read_with(compressed(shard.bytes + "!")), Contains("mds.zstd holds more than the"));
  CHECK_THAT(read_with(compressed(shard.bytes.substr(1))), Contains("bytes, announced were"));
  CHECK(read_with(zip).empty());
}

TEST_CASE("MDS columns that do not make captioned images are listed", "[data]") {
  const TarFolder folder;
  const auto error_with = [&](const std::vector<MdsColumnSpec>& columns) {
    std::vector<std::string> row;
    for (const MdsColumnSpec& column : columns)
      row.push_back(std::string(column.size.value_or(1), '1'));
    const MdsShardBytes shard = make_shard("shard.00000.mds", columns, {row});
    folder.write("shard.00000.mds", shard.bytes);
    testing::write_mds_index(folder, {shard.entry});
    return error_of(config_of("mds", folder.path().string()));
  };
  CHECK_THAT(error_with({{"caption", "str", {}}, {"pixels", "ndarray", {}}}),
             Contains("shard.00000.mds has no column of images") &&
                 Contains("its columns: caption (str), pixels (ndarray)"));
  CHECK_THAT(error_with({{"image", "png", {}}, {"label", "int", 8}}),
             Contains("has no column of captions") && Contains("label (int)"));
  CHECK_THAT(error_with({{"image", "str", {}}, {"caption", "str", {}}}),
             Contains("no column of images"));
  CHECK(error_with({{"picture", "jpeg", {}}, {"text", "str", {}}}).empty());
}

TEST_CASE("MDS values: raw pixels, json captions, keys and timesteps", "[data]") {
  const TarFolder folder;
  const std::vector<MdsColumnSpec> columns = {
      {"id", "str_int", {}}, {"image", "pil", {}}, {"json", "json", {}}, {"timestep", "int8", 1}};
  const auto pil = [](std::uint32_t width, std::uint32_t height, const std::string& mode,
                      const std::string& pixels) {
    return word(width) + word(height) + word(static_cast<std::uint32_t>(mode.size())) + mode +
           pixels;
  };
  const std::string gray(64, '\x40'), caption = R"({"caption":"c"})";
  const MdsShardBytes shard =
      make_shard("shard.00000.mds", columns,
                 {{"7", pil(8, 8, "L", gray), caption, "\x03"},
                  {"8", pil(8, 8, "CMYK", gray + gray + gray + gray), caption, "\x03"},
                  {"9", pil(8, 8, "RGB", gray), caption, "\x03"},
                  {"10", pil(8, 8, "P", gray), caption, "\x03"},
                  {"11", pil(8, 0, "L", ""), caption, "\x03"},
                  {"12", pil(0xFFFFFFFF, 0xFFFFFFFF, "L", gray), caption, "\x03"},
                  {"13", "short", caption, "\x03"},
                  {"14", pil(8, 8, "L", gray), "{}", "\x03"},
                  {"15", pil(8, 8, "L", gray), "{", "\x03"},
                  {"x", pil(8, 8, "L", gray), caption, "\x03"},
                  {"16", pil(8, 8, "L", gray), caption, "\xff"}});
  folder.write("shard.00000.mds", shard.bytes);
  testing::write_mds_index(folder, {shard.entry});
  const auto data = *open_dataset(config_of("mds", folder.path().string()));
  const Sample first = *data->read(0, {});
  CHECK(first.key == "7");
  CHECK(first.caption == "c");
  CHECK(first.fields.get("timestep").item<int64_t>() == 3);
  CHECK(first.fields.get("image")[0][0][0].item<float>() == 64.0F / 255.0F * 2.0F - 1.0F);
  CHECK(data->read(1, {}).ok());
  CHECK_THAT(problem(*data, 2), Contains("in mode RGB has 64 bytes of pixels, not 192"));
  CHECK_THAT(problem(*data, 3), Contains("mode 'P'"));
  CHECK_THAT(problem(*data, 4), Contains("pil image of 8 x 0"));
  CHECK_THAT(problem(*data, 5), Contains("pil image of 4294967295"));
  CHECK_THAT(problem(*data, 6), Contains("5 bytes has no header"));
  CHECK_THAT(problem(*data, 7), Contains("'json' has no text 'caption'"));
  CHECK_THAT(problem(*data, 8), Contains("'json' does not parse"));
  CHECK_THAT(problem(*data, 9), Contains("'id' is no integer ('x')"));
  CHECK_THAT(problem(*data, 10), Contains("timestep out of range (-1"));
}

TEST_CASE("An MDS index that cannot be used says why", "[data]") {
  const TarFolder folder;
  const std::string path = folder.path().string();
  CHECK_THAT(error_of(config_of("mds", path)), Contains("has no index.json"));
  const MdsShardBytes shard = make_shard("shard.00000.mds", kMdsColumns, rows_of(0, 1));
  folder.write("shard.00000.mds", shard.bytes);
  const auto error_with = [&](const std::string& key, const json& value) {
    json entry = shard.entry;
    entry[key] = value;
    testing::write_mds_index(folder, {entry});
    return error_of(config_of("mds", path));
  };
  CHECK(error_with("format", "mds").empty());
  CHECK_THAT(error_with("format", "jsonl"), Contains("has format 'jsonl', not mds"));
  CHECK_THAT(error_with("version", 3), Contains("another version than 2"));
  CHECK_THAT(error_with("samples", "one"), Contains("no count of \"samples\""));
  CHECK_THAT(error_with("samples", -1), Contains("no count of \"samples\""));
  CHECK_THAT(error_with("raw_data", nullptr), Contains("no \"raw_data\""));
  CHECK_THAT(error_with("raw_data", {{"basename", "../x"}, {"bytes", 1}}),
             Contains("leaves the folder"));
  for (const char* leaves : {"/etc/x", "a/../../x", "..", ""})
    CHECK_THAT(error_with("raw_data", {{"basename", leaves}, {"bytes", 1}}),
               Contains("leaves the folder"));
  CHECK_THAT(error_with("raw_data", {{"basename", "shard.00000.mds"}, {"bytes", int64_t{1} << 40}}),
             Contains("its offsets have 32 bits"));
  CHECK_THAT(error_with("raw_data", {{"basename", "absent.mds"}, {"bytes", 1}}),
             Contains("a shard that is not there (absent.mds)"));
  CHECK_THAT(error_with("zip_data", {{"basename", "x.br"}, {"bytes", 1}}),
             Contains("zstd is read"));
  CHECK_THAT(error_with("column_sizes", {1, 2}), Contains("lists of one length"));
  CHECK_THAT(error_with("column_sizes", {nullptr, nullptr, -4}),
             Contains("column 2 is not described well"));
  folder.write("index.json", "{");
  CHECK_THAT(error_of(config_of("mds", path)), Contains("index.json is not a JSON object"));
  folder.write("index.json", R"({"shards": 3})");
  CHECK_THAT(error_of(config_of("mds", path)), Contains("no list \"shards\""));
  folder.write("index.json", R"({"shards": []})");
  CHECK_THAT(error_of(config_of("mds", path)), Contains("no samples in"));
}

TEST_CASE("Shards written by MosaicML's own library give Pillow's images", "[data]") {
  int read = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/golden/mds")) {
    INFO(entry.path());
    const TarFolder cache;
    const json expected = json::parse(testing::slurp((entry.path() / "expected.json").string()));
    auto config = config_of("mds", entry.path().string(), expected.at("img_size").get<int>());
    config.dataset.crop = "center";
    const auto data = *open_dataset(config);
    REQUIRE(data->size() == static_cast<int64_t>(expected.at("rows").size()));
    for (int64_t i = 0; i < data->size(); ++i) {
      const json& row = expected.at("rows")[static_cast<std::size_t>(i)];
      const Sample sample = *data->read(i, {});
      CHECK(sample.key == row.at("key"));
      CHECK(sample.caption == row.at("caption"));
      CHECK(sample.fields.get("timestep").item<int64_t>() == row.at("timestep"));
      CHECK(testing::image_sha256(sample) == row.at("image_fp32_sha256"));
      ++read;
    }
  }
  CHECK(read > 0);
}

}  // namespace
}  // namespace titan
