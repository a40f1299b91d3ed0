// mds_bytes.h: MosaicML's shards byte by byte: a broken one needs to be.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <zstd.h>
#include <nlohmann/json.hpp>

#include "titan/io/image_write.h"

#include "tests/support/temporary_folder.h"

namespace titan::testing {

/// A column of a shard; no size: each value has its own.
struct MdsColumnSpec {
  std::string name;
  std::string encoding;
  std::optional<std::uint32_t> size;
};

inline std::string word(std::uint32_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

/// The bytes of a shard and its entry in the index.
struct MdsShardBytes {
  std::string bytes;
  nlohmann::json entry;
};

inline MdsShardBytes make_shard(const std::string& name, const std::vector<MdsColumnSpec>& columns,
                                const std::vector<std::vector<std::string>>& rows) {
  MdsShardBytes shard;
  nlohmann::json& entry = shard.entry;
  entry = {{"format", "mds"},       {"version", 2}, {"compression", nullptr},
           {"zip_data", nullptr},   {"hashes", {}}, {"size_limit", 1 << 26},
           {"samples", rows.size()}};
  for (const MdsColumnSpec& column : columns) {
    entry["column_names"].push_back(column.name);
    entry["column_encodings"].push_back(column.encoding);
    entry["column_sizes"].push_back(column.size ? nlohmann::json(*column.size) : nlohmann::json());
  }
  const std::string header = R"({"format": "mds"})";
  std::string offsets, body;
  const std::size_t begin = 4 * (rows.size() + 2) + header.size();
  for (const auto& row : rows) {
    offsets += word(static_cast<std::uint32_t>(begin + body.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      if (!columns[i].size) body += word(static_cast<std::uint32_t>(row[i].size()));
    for (const std::string& value : row) body += value;
  }
  offsets += word(static_cast<std::uint32_t>(begin + body.size()));
  shard.bytes = word(static_cast<std::uint32_t>(rows.size())) + offsets + header + body;
  entry["raw_data"] = {{"basename", name}, {"bytes", shard.bytes.size()}, {"hashes", {}}};
  return shard;
}

inline void write_mds_index(const TemporaryFolder& folder,
                            const std::vector<nlohmann::json>& entries) {
  folder.write("index.json", nlohmann::json{{"version", 2}, {"shards", entries}}.dump());
}

inline std::string compressed(const std::string& bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

inline std::string png(std::uint8_t gray) {
  Image image(8, 8, PixelMode::kGray);
  std::fill(image.pixels.begin(), image.pixels.end(), gray);
  const auto bytes = *encode_png(image);
  return {bytes.begin(), bytes.end()};
}

inline const std::vector<MdsColumnSpec> kMdsColumns = {
    {"caption", "str", {}}, {"image", "bytes", {}}, {"key", "uint32", 4}};

inline std::vector<std::vector<std::string>> rows_of(int first, int count) {
  std::vector<std::vector<std::string>> rows;
  for (int i = first; i < first + count; ++i)
    rows.push_back(
        {str_cat("t", i), png(static_cast<std::uint8_t>(i)), word(static_cast<std::uint32_t>(i))});
  return rows;
}

}  // namespace titan::testing
