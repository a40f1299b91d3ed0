#include "titan/data/row_shards.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include <nlohmann/json.hpp>

#include "titan/data/sample_parts.h"
#include "titan/io/atomic_file.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/safetensors.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "titan-rows";
constexpr int kVersion = 1;
constexpr std::size_t kAlign = 64;

std::size_t stride_of(const EncodedShapes& shapes) {
  std::size_t bytes = 0;
  for (const std::vector<int64_t>& shape : shapes) bytes += encoded_bytes(shape);
  return (bytes + kAlign - 1) / kAlign * kAlign;
}

std::string file_name(int64_t index, int64_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "rows-%05d-of-%05d.safetensors", static_cast<int>(index),
                static_cast<int>(count));
  return name;
}

struct Shard {
  std::shared_ptr<const SafetensorsFile> file;
  std::string name;
  int64_t num_rows = 0;
  const std::byte* rows = nullptr;
  const std::byte* timesteps = nullptr;
  const std::byte* key_ends = nullptr;
  const TensorEntry* keys = nullptr;
};

class RowShards : public EncodedRows {
 public:
  RowShards(EncodedShapes shapes, std::vector<Shard> shards, std::string speaker)
      : shapes_(std::move(shapes)),
        stride_(stride_of(shapes_)),
        shards_(std::move(shards)),
        speaker_(std::move(speaker)) {
    int64_t end = 0;
    for (const Shard& shard : shards_) ends_.push_back(end += shard.num_rows);
  }

  int64_t size() const override { return ends_.back(); }
  bool values_checked() const override { return true; }

  StatusOr<EncodedRow> read(int64_t index) const override {
    const auto [shard, row] = find(index);
    const std::byte* record = shard->rows + static_cast<std::size_t>(row) * stride_;
    const MappedFile& file = shard->file->file();
    file.prefetch(static_cast<std::size_t>(record - file.data()), stride_);
    EncodedRow out;
    out.shapes = shapes_;
    for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
      const std::size_t bytes = encoded_bytes(shapes_[field]);
      out.values[field] = {record, bytes};
      record += bytes;
    }
    std::int32_t timestep = 0;
    std::memcpy(&timestep, shard->timesteps + row * 4, sizeof timestep);
    if (timestep != -1) out.timestep = timestep;
    int64_t range[2] = {0, 0};
    if (row == 0)
      std::memcpy(&range[1], shard->key_ends, 8);
    else
      std::memcpy(range, shard->key_ends + (row - 1) * 8, 16);
    if (range[0] < 0 || range[1] < range[0] ||
        static_cast<std::uint64_t>(range[1]) > shard->keys->size_bytes)
      return data_loss("[", speaker_, "] ", describe(index), ": key out of range (", range[0],
                       " to ", range[1], " of ", shard->keys->size_bytes, ")");
    out.key = {reinterpret_cast<const char*>(shard->keys->data) + range[0],
               static_cast<std::size_t>(range[1] - range[0])};
    return out;
  }

  std::string describe(int64_t index) const override {
    const auto [shard, row] = find(index);
    return str_cat(shard->name, " row ", row);
  }

  std::string fingerprint() const override {
    Fingerprint fingerprint;
    for (const Shard& shard : shards_)
      fingerprint.add(shard.name, " ", shard.file->file().size(), " ", shard.num_rows);
    return fingerprint.hex();
  }

 private:
  std::pair<const Shard*, int64_t> find(int64_t index) const {
    TITAN_CHECK(index >= 0 && index < size(), "[rows] row out of range (", index, " of ", size(),
                ")");
    const auto at = static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), index) -
                                             ends_.begin());
    return {&shards_[at], index - (at == 0 ? 0 : ends_[at - 1])};
  }

  EncodedShapes shapes_;
  std::size_t stride_;
  std::vector<Shard> shards_;
  std::string speaker_;
  std::vector<int64_t> ends_;
};

/// The tensor `name` of exactly this type and shape.
StatusOr<const TensorEntry*> expect(const SafetensorsFile& file, const char* name, TensorType type,
                                    const std::vector<int64_t>& shape) {
  const TensorEntry* entry = file.find(name);
  if (entry == nullptr) return data_loss("no tensor '", name, "'");
  if (entry->type != type || entry->shape != shape)
    return data_loss("tensor '", name, "' is ", name_of(entry->type), " ", shape_text(entry->shape),
                     ", not ", name_of(type), " ", shape_text(shape));
  return entry;
}

StatusOr<Shard> open_shard(const std::string& path, int64_t num_rows, std::size_t stride) {
  Shard shard;
  TITAN_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open(path));
  shard.file = std::make_shared<const SafetensorsFile>(std::move(file));
  shard.name = fs::path(path).filename().string();
  shard.num_rows = num_rows;
  TITAN_ASSIGN_OR_RETURN(const TensorEntry* rows, expect(*shard.file, "rows", TensorType::kU8,
                                                         {num_rows, static_cast<int64_t>(stride)}));
  TITAN_ASSIGN_OR_RETURN(const TensorEntry* timesteps,
                         expect(*shard.file, "timesteps", TensorType::kI32, {num_rows}));
  TITAN_ASSIGN_OR_RETURN(const TensorEntry* key_ends,
                         expect(*shard.file, "key_ends", TensorType::kI64, {num_rows}));
  shard.keys = shard.file->find("keys");
  if (shard.keys == nullptr) return data_loss("no tensor 'keys'");
  shard.rows = rows->data;
  shard.timesteps = timesteps->data;
  shard.key_ends = key_ends->data;
  return shard;
}

struct Index {
  EncodedShapes shapes;
  std::vector<std::pair<std::string, int64_t>> files;
};

StatusOr<Index> read_index(const fs::path& path) {
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path.string(), /*max_bytes=*/64 << 20));
  constexpr int64_t kMaxSize = 1 << 20, kMaxRecord = int64_t{1} << 36;
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    if (json.at("format") != kFormat || json.at("version") != kVersion)
      return data_loss("[rows] ", path.string(), ": not ", kFormat, " of version ", kVersion);
    Index index;
    for (std::size_t i = 0; i < kNumEncodedFields; ++i) {
      json.at("fields").at(kEncodedFields[i]).get_to(index.shapes[i]);
      int64_t count = 1;
      for (const int64_t size : index.shapes[i]) {
        if (size < 1 || size > kMaxSize || (count *= size) > kMaxRecord)
          return data_loss("[rows] ", path.string(), ": impossible shape of '", kEncodedFields[i],
                           "' ", shape_text(index.shapes[i]));
      }
    }
    for (const nlohmann::json& file : json.at("files")) {
      const auto name = file.at("name").get<std::string>();
      const auto rows = file.at("rows").get<int64_t>();
      if (rows < 1 || name.empty() || fs::path(name).filename() != fs::path(name) || name == "..")
        return data_loss("[rows] ", path.string(), ": impossible file ('", name, "', ", rows,
                         " rows)");
      index.files.emplace_back(name, rows);
    }
    if (index.files.empty()) return data_loss("[rows] ", path.string(), " lists no file");
    return index;
  } catch (const nlohmann::json::exception& error) {
    return data_loss("[rows] ", path.string(), " cannot be read: ", error.what());
  }
}

/// The keys of a shard, needed in front of its rows: a safetensors header comes first.
struct Keys {
  std::vector<int64_t> ends;
  std::string text;
  std::vector<std::int32_t> timesteps;
};

StatusOr<EncodedRow> read_checked(const EncodedRows& rows, int64_t index,
                                  const EncodedShapes& shapes, bool check_values) {
  TITAN_ASSIGN_OR_RETURN(EncodedRow row, rows.read(index));
  Status status = check_encoded_row(row, shapes, check_values);
  if (status.ok() && (row.timestep.value_or(0) < 0 || row.timestep.value_or(0) > INT32_MAX))
    status = invalid_argument("timestep out of range (", *row.timestep, ")");
  if (!status.ok()) return annotate(status, rows.describe(index));
  return row;
}

Status write_shard(const EncodedRows& rows, int64_t begin, int64_t end, const EncodedShapes& shapes,
                   const std::string& path, const std::function<void(int64_t)>& progress) {
  Keys keys;
  for (int64_t index = begin; index < end; ++index) {
    TITAN_ASSIGN_OR_RETURN(const EncodedRow row, read_checked(rows, index, shapes, false));
    keys.text += row.key;
    keys.ends.push_back(static_cast<int64_t>(keys.text.size()));
    keys.timesteps.push_back(static_cast<std::int32_t>(row.timestep.value_or(-1)));
  }
  const int64_t count = end - begin;
  const std::size_t stride = stride_of(shapes);
  TITAN_ASSIGN_OR_RETURN(
      const std::unique_ptr<SafetensorsWriter> writer,
      SafetensorsWriter::create(
          path, {{"key_ends", TensorType::kI64, {count}},
                 {"rows", TensorType::kU8, {count, static_cast<int64_t>(stride)}},
                 {"timesteps", TensorType::kI32, {count}},
                 {"keys", TensorType::kU8, {static_cast<int64_t>(keys.text.size())}}}));
  TITAN_RETURN_IF_ERROR(writer->write(keys.ends.data(), keys.ends.size() * 8));
  constexpr std::array<char, kAlign> kZeros = {};
  for (int64_t index = begin; index < end; ++index) {
    TITAN_ASSIGN_OR_RETURN(const EncodedRow row, read_checked(rows, index, shapes, true));
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

bool looks_like_row_shards(const std::string& folder) {
  std::error_code ignored;
  return fs::exists(fs::path(folder) / kRowShardsIndex, ignored);
}

StatusOr<std::unique_ptr<EncodedRows>> open_row_shards(const std::string& folder,
                                                       const std::string& speaker) {
  TITAN_ASSIGN_OR_RETURN(Index index, read_index(fs::path(folder) / kRowShardsIndex));
  const std::size_t stride = stride_of(index.shapes);
  std::vector<Shard> shards;
  for (const auto& [name, num_rows] : index.files) {
    const std::string path = (fs::path(folder) / name).string();
    std::error_code ignored;
    if (!fs::exists(path, ignored))
      return not_found("[", speaker, "] ", (fs::path(folder) / kRowShardsIndex).string(),
                       " lists a file that is not there (", name, ")");
    StatusOr<Shard> shard = open_shard(path, num_rows, stride);
    if (!shard.ok()) return annotate(shard.status(), str_cat("[", speaker, "] ", path));
    shards.push_back(*std::move(shard));
  }
  return std::make_unique<RowShards>(std::move(index.shapes), std::move(shards), speaker);
}

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
  const nlohmann::ordered_json index = {
      {"format", kFormat}, {"version", kVersion}, {"fields", fields}, {"files", files}};
  return write_file_atomically((fs::path(folder) / kRowShardsIndex).string(), index.dump(2) + "\n");
}

}  // namespace titan
