// Writes row shards.
#include "titan/data/row_shards.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "titan/io/atomic_file.h"
#include "titan/io/safetensors.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

std::string file_name(int64_t index, int64_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "rows-%05lld-of-%05lld.safetensors",
                static_cast<long long>(index), static_cast<long long>(count));
  return name;
}

/// The keys of a shard, needed in front of its rows: a safetensors header comes first.
struct Keys {
  std::vector<int64_t> ends;
  std::string text;
  std::vector<std::int32_t> timesteps;
};

Status check_timestep(const std::optional<int64_t>& timestep) {
  if (!timestep || (*timestep >= 0 && *timestep <= INT32_MAX)) return ok_status();
  return invalid_argument("timestep out of range (", *timestep, ")");
}

StatusOr<Keys> read_keys(const EncodedRows& rows, int64_t begin, int64_t end) {
  Keys keys;
  for (int64_t index = begin; index < end; ++index) {
    TITAN_ASSIGN_OR_RETURN(const EncodedTag tag, rows.tag(index));
    TITAN_RETURN_IF_ERROR(annotate(check_timestep(tag.timestep), rows.describe(index)));
    keys.text += tag.key;
    keys.ends.push_back(static_cast<int64_t>(keys.text.size()));
    keys.timesteps.push_back(static_cast<std::int32_t>(tag.timestep.value_or(kNoTimestep)));
  }
  return keys;
}

Status write_shard(const EncodedRows& rows, int64_t begin, int64_t end, const EncodedShapes& shapes,
                   const std::string& path, const std::function<void(int64_t)>& progress) {
  TITAN_ASSIGN_OR_RETURN(const Keys keys, read_keys(rows, begin, end));
  const int64_t count = end - begin;
  const std::size_t stride = row_stride(shapes);
  TITAN_ASSIGN_OR_RETURN(
      const std::unique_ptr<SafetensorsWriter> writer,
      SafetensorsWriter::create(
          path, {{"key_ends", TensorType::kI64, {count}},
                 {"rows", TensorType::kU8, {count, static_cast<int64_t>(stride)}},
                 {"timesteps", TensorType::kI32, {count}},
                 {"keys", TensorType::kU8, {static_cast<int64_t>(keys.text.size())}}}));
  TITAN_RETURN_IF_ERROR(writer->write(keys.ends.data(), keys.ends.size() * 8));
  constexpr std::array<char, kRowAlignment> kZeros = {};
  for (int64_t index = begin; index < end; ++index) {
    TITAN_ASSIGN_OR_RETURN(const EncodedRow row, rows.read(index));
    TITAN_RETURN_IF_ERROR(
        annotate(check_encoded_row(row, shapes, /*check_values=*/true), rows.describe(index)));
    std::size_t left = stride;
    for (const std::span<const std::byte>& values : row.values) {
      TITAN_RETURN_IF_ERROR(writer->write(values.data(), values.size()));
      left -= values.size();
    }
    TITAN_RETURN_IF_ERROR(writer->write(kZeros.data(), left));
    progress(index + 1);
  }
  TITAN_RETURN_IF_ERROR(writer->write(keys.timesteps.data(), keys.timesteps.size() * 4));
  TITAN_RETURN_IF_ERROR(writer->write(keys.text.data(), keys.text.size()));
  return writer->finish().status();
}

}  // namespace

Status write_row_shards(const EncodedRows& rows, const std::string& folder, int64_t rows_per_file,
                        const std::function<void(int64_t)>& progress) {
  TITAN_ASSIGN_OR_RETURN(const EncodedRow first, first_readable_row(rows));
  const int64_t count = (rows.size() + rows_per_file - 1) / rows_per_file;
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
  for (int64_t shard = 0; shard < count; ++shard) {
    const int64_t begin = shard * rows_per_file;
    const int64_t end = std::min(begin + rows_per_file, rows.size());
    const std::string name = file_name(shard, count);
    TITAN_RETURN_IF_ERROR(
        write_shard(rows, begin, end, first.shapes, (fs::path(folder) / name).string(), progress));
    files.push_back({{"name", name}, {"rows", end - begin}});
  }
  nlohmann::ordered_json fields;
  for (std::size_t i = 0; i < kNumEncodedFields; ++i) fields[kEncodedFields[i]] = first.shapes[i];
  const nlohmann::ordered_json index = {{"format", kRowShardsFormat},
                                        {"version", kRowShardsVersion},
                                        {"fields", fields},
                                        {"files", files}};
  return write_file_atomically((fs::path(folder) / kRowShardsIndex).string(), index.dump(2) + "\n");
}

}  // namespace titan
