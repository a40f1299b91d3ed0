#include "titan/data/row_shards.h"

#include <cstring>
#include <filesystem>
#include <utility>

#include <nlohmann/json.hpp>

#include "titan/base/segments.h"
#include "titan/data/sample_parts.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/safetensors.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

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
  RowShards(EncodedShapes shapes, std::vector<Shard> shards, Segments segments, std::string speaker)
      : shapes_(std::move(shapes)),
        stride_(row_stride(shapes_)),
        shards_(std::move(shards)),
        segments_(std::move(segments)),
        speaker_(std::move(speaker)) {}

  int64_t size() const override { return segments_.total(); }
  bool values_checked() const override { return true; }

  StatusOr<EncodedRow> read(int64_t index) const override {
    const auto [at, row] = segments_.find(index);
    const Shard& shard = shards_[at];
    const std::byte* record = shard.rows + static_cast<std::size_t>(row) * stride_;
    const MappedFile& file = shard.file->file();
    Status status = file.populate(static_cast<std::size_t>(record - file.data()), stride_);
    EncodedRow out;
    if (status.ok()) status = read_tag(shard, row, out);
    if (!status.ok()) return annotate(status, str_cat("[", speaker_, "] ", describe(index)));
    out.shapes = shapes_;
    for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
      const std::size_t bytes = encoded_bytes(shapes_[field]);
      out.values[field] = {record, bytes};
      record += bytes;
    }
    return out;
  }

  StatusOr<EncodedTag> tag(int64_t index) const override {
    const auto [at, row] = segments_.find(index);
    EncodedTag out;
    const Status status = read_tag(shards_[at], row, out);
    if (!status.ok()) return annotate(status, str_cat("[", speaker_, "] ", describe(index)));
    return out;
  }

  std::string describe(int64_t index) const override {
    const auto [at, row] = segments_.find(index);
    return str_cat(shards_[at].name, " row ", row);
  }

  std::string fingerprint() const override {
    Fingerprint fingerprint;
    for (const Shard& shard : shards_)
      fingerprint.add(shard.name, " ", shard.file->file().size(), " ", shard.num_rows);
    return fingerprint.hex();
  }

 private:
  static Status read_tag(const Shard& shard, int64_t row, EncodedTag& out) {
    std::int32_t timestep = 0;
    std::memcpy(&timestep, shard.timesteps + row * 4, sizeof timestep);
    if (timestep != kNoTimestep) out.timestep = timestep;
    int64_t range[2] = {0, 0};
    if (row == 0)
      std::memcpy(&range[1], shard.key_ends, 8);
    else
      std::memcpy(range, shard.key_ends + (row - 1) * 8, 16);
    if (range[0] < 0 || range[1] < range[0] ||
        static_cast<std::uint64_t>(range[1]) > shard.keys->size_bytes)
      return data_loss("key out of range (", range[0], " to ", range[1], " of ",
                       shard.keys->size_bytes, ")");
    out.key = {reinterpret_cast<const char*>(shard.keys->data) + range[0],
               static_cast<std::size_t>(range[1] - range[0])};
    return ok_status();
  }

  EncodedShapes shapes_;
  std::size_t stride_;
  std::vector<Shard> shards_;
  Segments segments_;
  std::string speaker_;
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
    if (json.at("format") != kRowShardsFormat || json.at("version") != kRowShardsVersion)
      return data_loss("[rows] ", path.string(), ": not ", kRowShardsFormat, " of version ",
                       kRowShardsVersion);
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

}  // namespace

std::size_t row_stride(const EncodedShapes& shapes) {
  std::size_t bytes = 0;
  for (const std::vector<int64_t>& shape : shapes) bytes += encoded_bytes(shape);
  return (bytes + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
}

bool looks_like_row_shards(const std::string& folder) {
  std::error_code ignored;
  return fs::exists(fs::path(folder) / kRowShardsIndex, ignored);
}

StatusOr<std::unique_ptr<EncodedRows>> open_row_shards(const std::string& folder,
                                                       const std::string& speaker) {
  TITAN_ASSIGN_OR_RETURN(Index index, read_index(fs::path(folder) / kRowShardsIndex));
  const std::size_t stride = row_stride(index.shapes);
  std::vector<Shard> shards;
  Segments segments;
  for (const auto& [name, num_rows] : index.files) {
    const std::string path = (fs::path(folder) / name).string();
    std::error_code ignored;
    if (!fs::exists(path, ignored))
      return not_found("[", speaker, "] ", (fs::path(folder) / kRowShardsIndex).string(),
                       " lists a file that is not there (", name, ")");
    StatusOr<Shard> shard = open_shard(path, num_rows, stride);
    if (!shard.ok()) return annotate(shard.status(), str_cat("[", speaker, "] ", path));
    shards.push_back(*std::move(shard));
    TITAN_CHECK(segments.add(num_rows), "[rows] more rows than 64 bits count");  // files hold them
  }
  return std::make_unique<RowShards>(std::move(index.shapes), std::move(shards),
                                     std::move(segments), speaker);
}

}  // namespace titan
