#include "titan/data/row_shards.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include <nlohmann/json.hpp>

#include "titan/base/segments.h"
#include "titan/data/row_shard.h"
#include "titan/data/sample_parts.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/json_nesting.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

class RowShards : public EncodedRows {
 public:
  RowShards(EncodedShapes shapes, std::vector<RowShard> shards, Segments segments,
            std::string speaker)
      : shapes_(std::move(shapes)),
        shards_(std::move(shards)),
        segments_(std::move(segments)),
        speaker_(std::move(speaker)) {}

  int64_t size() const override { return segments_.total(); }
  bool values_checked() const override { return true; }

  StatusOr<EncodedRow> read(int64_t index) const override {
    const auto [at, row] = segments_.find(index);
    StatusOr<EncodedRow> out = shards_[at].read(row, shapes_);
    if (!out.ok()) return named(out.status(), index);
    return out;
  }

  StatusOr<EncodedTag> tag(int64_t index) const override {
    const auto [at, row] = segments_.find(index);
    StatusOr<EncodedTag> out = shards_[at].tag(row);
    if (!out.ok()) return named(out.status(), index);
    return out;
  }

  std::string describe(int64_t index) const override {
    const auto [at, row] = segments_.find(index);
    return str_cat(shards_[at].name(), " row ", row);
  }

  std::string fingerprint() const override {
    Fingerprint fingerprint;
    for (const RowShard& shard : shards_)
      fingerprint.add(shard.name(), " ", shard.size_bytes(), " ", shard.num_rows());
    return fingerprint.hex();
  }

 private:
  Status named(const Status& status, int64_t index) const {
    return annotate(status, str_cat("[", speaker_, "] ", describe(index)));
  }

  EncodedShapes shapes_;
  std::vector<RowShard> shards_;
  Segments segments_;
  std::string speaker_;
};

struct Index {
  int version = 0;
  EncodedShapes shapes;
  std::vector<std::pair<std::string, int64_t>> files;
};

/// 0, which no size is, for what is no whole number: JSON's 1e30 is no int64_t.
int64_t whole_or_zero(const nlohmann::json& number) {
  return number.is_number_integer() ? number.get<int64_t>() : 0;
}

StatusOr<Index> read_index(const fs::path& path) {
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(path.string(), /*max_bytes=*/64 << 20));
  if (nests_too_deep(text))
    return data_loss("[rows] ", path.string(), " nests lists or objects too deep");
  // A field is decoded into memory before it is compared with anything: more than 256 MiB is an
  // attack (T5 makes 4 MB of a text).
  constexpr int64_t kMaxSize = 1 << 20, kMaxRecord = int64_t{1} << 27;
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    Index index;
    index.version = json.at("version") == kRowShardsVersion     ? kRowShardsVersion
                    : json["version"] == kCodedRowShardsVersion ? kCodedRowShardsVersion
                                                                : 0;
    if (json.at("format") != kRowShardsFormat || index.version == 0)
      return data_loss("[rows] ", path.string(), ": not ", kRowShardsFormat, " of version ",
                       kRowShardsVersion, " or ", kCodedRowShardsVersion);
    for (std::size_t i = 0; i < kNumEncodedFields; ++i) {
      const nlohmann::json& shape = json.at("fields").at(kEncodedFields[i]);
      if (shape.is_array())
        std::transform(shape.begin(), shape.end(), std::back_inserter(index.shapes[i]),
                       whole_or_zero);
      int64_t count = 1;
      bool possible = !index.shapes[i].empty();  // a text has a width at least
      for (const int64_t size : index.shapes[i])
        possible = possible && size >= 1 && size <= kMaxSize && (count *= size) <= kMaxRecord;
      if (!possible)
        return data_loss("[rows] ", path.string(), ": impossible shape of '", kEncodedFields[i],
                         "' ", shape_text(index.shapes[i]));
    }
    for (const nlohmann::json& file : json.at("files")) {
      const auto name = file.at("name").get<std::string>();
      const int64_t rows = whole_or_zero(file.at("rows"));
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
  std::vector<RowShard> shards;
  Segments segments;
  for (const auto& [name, num_rows] : index.files) {
    const std::string path = (fs::path(folder) / name).string();
    std::error_code ignored;
    if (!fs::exists(path, ignored))
      return not_found("[", speaker, "] ", (fs::path(folder) / kRowShardsIndex).string(),
                       " lists a file that is not there (", name, ")");
    StatusOr<RowShard> shard = RowShard::open(path, num_rows, index.shapes, index.version);
    if (!shard.ok()) return annotate(shard.status(), str_cat("[", speaker, "] ", path));
    shards.push_back(*std::move(shard));
    TITAN_CHECK(segments.add(num_rows), "[rows] more rows than 64 bits count");  // files hold them
  }
  return std::make_unique<RowShards>(std::move(index.shapes), std::move(shards),
                                     std::move(segments), speaker);
}

}  // namespace titan
