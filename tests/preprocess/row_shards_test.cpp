// Row shards of version 2: what is stored once, what is coded, and what damage does.
#include "tests/support/catch.h"
// First of all: Catch2 and LibTorch share macros.
#include <nlohmann/json.hpp>

#include <cstring>
#include <set>

#include "tests/data/memory_rows.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"
#include "titan/data/encoded_file.h"
#include "titan/data/row_shards.h"
#include "titan/data/text_coding.h"
#include "titan/io/safetensors.h"

using namespace titan;
using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

/// Writes all rows as one shard; its path.
std::string write_shard(const EncodedRows& rows, const std::string& folder) {
  const auto format = find_encoded_format("rows").value();
  const EncodedShapes shapes = rows.read(0)->shapes;
  const std::string path = (fs::path(folder) / format->file_name(0, 1)).string();
  const auto file = format->create_file(path, shapes).value();
  for (int64_t i = 0; i < rows.size(); ++i) REQUIRE(file->append(*rows.read(i)).ok());
  const StatusOr<int64_t> bytes = file->finish();
  REQUIRE(bytes.ok());
  REQUIRE(*bytes == static_cast<int64_t>(fs::file_size(path)));
  REQUIRE(format->write_index(folder, shapes, {{fs::path(path).filename().string(), rows.size()}})
              .ok());
  return path;
}

void check_same_rows(const EncodedRows& actual, const EncodedRows& expected) {
  REQUIRE(actual.size() == expected.size());
  for (int64_t i = 0; i < expected.size(); ++i) {
    INFO("row " << i);
    const StatusOr<EncodedRow> a = actual.read(i), b = expected.read(i);
    INFO(message_of(a.status()));
    REQUIRE(a.ok());
    CHECK(a->key == b->key);
    CHECK((a->timestep == b->timestep));
    CHECK((a->shapes == b->shapes));
    for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
      REQUIRE(a->values[field].size() == b->values[field].size());
      CHECK(std::memcmp(a->values[field].data(), b->values[field].data(),
                        b->values[field].size()) == 0);
    }
  }
}

std::vector<std::byte> bytes_of(const std::vector<std::uint16_t>& values) {
  const auto view = std::as_bytes(std::span(values));
  return {view.begin(), view.end()};
}

}  // namespace

TEST_CASE("coded texts come back bit for bit, whatever they hold", "[preprocess]") {
  std::uint32_t state = 7;
  for (const std::size_t width : {1, 3, 64}) {
    for (const std::size_t positions : {1, 2, 77}) {
      std::vector<std::uint16_t> values(width * positions);
      for (std::uint16_t& value : values)
        value = static_cast<std::uint16_t>((state = state * 1664525 + 1013904223) >> 16);
      for (const bool constant : {false, true}) {
        if (constant) std::fill(values.begin(), values.end(), std::uint16_t{0x3F80});
        const std::vector<std::byte> plain = bytes_of(values);
        const std::vector<std::byte> coded = code_text(plain, width);
        std::vector<std::byte> back(plain.size(), std::byte{0xEE});
        REQUIRE(decode_text(coded, width, back).ok());
        CHECK((back == plain));
        std::vector<std::byte> longer(plain.size() + 2 * width);
        CHECK_FALSE(decode_text(coded, width, longer).ok());
        CHECK_FALSE(decode_text(std::span(coded).first(coded.size() - 1), width, back).ok());
      }
    }
  }
}

TEST_CASE("a text that repeats is stored once and every row has it", "[preprocess]") {
  const TemporaryFolder folder;
  MemoryRows rows(40);  // four different texts
  rows.rows[5].timestep.reset();
  rows.rows[6].key = "";
  const std::string path = write_shard(rows, folder.path().string());
  const auto opened = open_encoded_rows(folder.path().string(), "test");
  INFO(message_of(opened.status()));
  REQUIRE(opened.ok());
  check_same_rows(**opened, rows);
  CHECK((*opened)->tag(39)->key == rows.rows[39].key);
  const SafetensorsFile file = SafetensorsFile::open(path).value();
  // Records at multiples of 64: latents of 64 bytes, texts of 104 bytes at most.
  CHECK(file.find("data")->size_bytes <= 40 * 64 + 4 * 128);
  CHECK(file.find("data")->offset % 64 == 0);
  std::set<int64_t> texts;
  for (int64_t row = 0; row < 40; ++row) {
    int64_t place = 0;
    std::memcpy(&place, file.find("places")->data + row * 24, 8);
    texts.insert(place);
  }
  CHECK(texts.size() == 4);
}

TEST_CASE("damage in a shard is an error that names file and row, never a wrong value",
          "[preprocess]") {
  const TemporaryFolder folder;
  // Wide enough to be coded: equal positions compress.
  MemoryRows rows(3);
  for (auto& row : rows.rows) {
    row.shapes[0] = {64, 32};
    row.values[0].assign(64 * 32, static_cast<std::uint16_t>(0x3F00 + row.key.size()));
  }
  const std::string path = write_shard(rows, folder.path().string());
  const std::string good = slurp(path);
  const SafetensorsFile file = SafetensorsFile::open(path).value();
  const std::uint64_t places = file.find("places")->offset;
  int64_t text = 0;
  std::memcpy(&text, file.find("places")->data, 8);
  const auto read_with = [&](std::uint64_t offset, const std::string& bytes) {
    std::string bad = good;
    bad.replace(offset, bytes.size(), bytes);
    const TemporaryFolder other;
    other.write(fs::path(path).filename().string(), bad);
    other.write("rows.json", slurp(folder / "rows.json"));
    const auto opened = open_encoded_rows(other.path().string(), "test");
    if (!opened.ok()) return opened.status();
    return (*opened)->read(0).status();
  };
  CHECK(read_with(0, good.substr(0, 8)).ok());
  const auto refused = [&](const Status& status) {
    INFO(message_of(status));
    CHECK(status.code() == absl::StatusCode::kDataLoss);
    CHECK_THAT(message_of(status), Catch::Matchers::Contains("rows-00000-of-00001"));
  };
  const auto number = [](int64_t value) {
    return std::string(reinterpret_cast<const char*>(&value), 8);
  };
  for (std::size_t at = 0; at < 16; ++at) {
    const std::uint64_t offset = file.find("data")->offset + static_cast<std::uint64_t>(text) + at;
    const Status status = read_with(offset, std::string(1, static_cast<char>(good[offset] ^ 0x55)));
    refused(status);
  }
  for (const int64_t value : {int64_t{-1}, int64_t{1} << 62, int64_t{1} << 20, INT64_MAX}) {
    refused(read_with(places, number(value)));
    refused(read_with(places + 8, number(value)));
    refused(read_with(places + 16, number(value)));
  }
  const std::string index = slurp(folder / "rows.json");
  const TemporaryFolder later;
  later.write(fs::path(path).filename().string(), good);
  nlohmann::json json = nlohmann::json::parse(index);
  json["version"] = 3;
  later.write("rows.json", json.dump());
  const auto opened = open_encoded_rows(later.path().string(), "test");
  REQUIRE_FALSE(opened.ok());
  CHECK_THAT(message_of(opened.status()), Catch::Matchers::Contains("version 1 or 2"));
}

TEST_CASE("the goldens' encodings keep every bit in row shards and get smaller",
          "[preprocess][golden]") {
  int folders = 0;
  for (const fs::path& root : golden_folders("data/arrow")) {
    for (const auto& entry : fs::directory_iterator(root)) {
      if (!entry.path().filename().string().ends_with("_preprocessed")) continue;
      INFO(entry.path());
      const auto rows = open_encoded_rows(entry.path().string(), "golden").value();
      const TemporaryFolder folder;
      write_shard(*rows, folder.path().string());
      check_same_rows(*open_encoded_rows(folder.path().string(), "test").value(), *rows);
      std::size_t plain = 0, coded = 0;
      for (int64_t i = 0; i < rows->size(); ++i) {
        const EncodedRow row = *rows->read(i);
        plain += row.values[0].size();
        coded += code_text(row.values[0], static_cast<std::size_t>(row.shapes[0].back())).size();
      }
      std::printf("%s: T5 encodings coded in %.3f of their bytes\n",
                  entry.path().filename().c_str(),
                  static_cast<double>(coded) / static_cast<double>(plain));
      CHECK(coded < plain);
      ++folders;
    }
  }
  if (folders == 0) TITAN_SKIP("no golden files");
}
