#include "titan/io/mds_index.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "titan/io/json_nesting.h"

namespace titan {
namespace {

using Json = nlohmann::json;

constexpr int64_t kVersion = 2;

/// Reads one shard's object.
class ShardParser {
 public:
  ShardParser(const Json& json, std::string speaker) : json_(json), speaker_(std::move(speaker)) {}

  StatusOr<MdsShardInfo> parse() const {
    if (!json_.is_object()) return data_loss(speaker_, " is no object");
    if (text("format") != "mds")
      return invalid_argument(speaker_, " has format '", text("format"), "', not mds");
    if (integer(json_, "version") != kVersion)
      return invalid_argument(speaker_, " has another version than ", kVersion);
    MdsShardInfo shard;
    const auto samples = integer(json_, "samples");
    if (!samples || *samples < 0 || *samples > std::numeric_limits<std::uint32_t>::max())
      return data_loss(speaker_, " has no count of \"samples\"");
    shard.num_samples = *samples;
    TITAN_RETURN_IF_ERROR(read_files(shard));
    TITAN_RETURN_IF_ERROR(read_columns(shard));
    return shard;
  }

 private:
  std::string text(const char* key) const {
    const auto found = json_.find(key);
    return found != json_.end() && found->is_string() ? found->get<std::string>() : "";
  }
  static std::optional<int64_t> integer(const Json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_number_integer()) return std::nullopt;
    return found->get<int64_t>();
  }

  StatusOr<std::string> file_name(const Json& file, const char* key) const {
    const auto name = file.find("basename");
    if (name == file.end() || !name->is_string())
      return data_loss(speaker_, ": \"", key, "\" has no \"basename\"");
    const std::filesystem::path path = name->get<std::string>();
    const bool leaves = path.empty() || path.is_absolute() ||
                        std::find(path.begin(), path.end(), "..") != path.end();
    if (leaves)
      return invalid_argument(speaker_, ": a \"basename\" leaves the folder (", path.string(), ")");
    return path.string();
  }

  /// {"sha1": "0a1b...", ...}; absent, null or empty where the writer made none.
  StatusOr<std::vector<FileDigest>> digests(const Json& file, const char* key) const {
    std::vector<FileDigest> out;
    const auto hashes = file.find("hashes");
    if (hashes == file.end() || hashes->empty()) return out;
    const auto refuse = [&] {
      return data_loss(speaker_, ": \"hashes\" of \"", key, "\" are no names with hex digits");
    };
    if (!hashes->is_object()) return refuse();
    for (const auto& [algorithm, value] : hashes->items()) {
      if (!value.is_string()) return refuse();
      std::string hex = value.get<std::string>();
      const bool is_hex = !hex.empty() && std::all_of(hex.begin(), hex.end(), [](unsigned char c) {
        return std::isxdigit(c) != 0;
      });
      if (!is_hex) return refuse();
      std::transform(hex.begin(), hex.end(), hex.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      out.push_back({.algorithm = algorithm, .hex = std::move(hex)});
    }
    return out;
  }

  Status read_files(MdsShardInfo& shard) const {
    const auto raw = json_.find("raw_data");
    if (raw == json_.end() || !raw->is_object()) return data_loss(speaker_, " has no \"raw_data\"");
    TITAN_ASSIGN_OR_RETURN(shard.raw_name, file_name(*raw, "raw_data"));
    const auto bytes = integer(*raw, "bytes");
    if (!bytes || *bytes < 0)
      return data_loss(speaker_, ": \"raw_data\" has no count of \"bytes\"");
    // Offsets of samples have 32 bits; a compressed shard may not unpack to more either.
    if (*bytes > std::numeric_limits<std::uint32_t>::max())
      return data_loss(speaker_, ": a shard cannot have ", *bytes,
                       " bytes, its offsets have 32 bits");
    shard.raw_bytes = static_cast<std::uint64_t>(*bytes);
    TITAN_ASSIGN_OR_RETURN(shard.raw_digests, digests(*raw, "raw_data"));
    const auto zip = json_.find("zip_data");
    if (zip == json_.end() || zip->is_null()) return ok_status();
    if (!zip->is_object()) return data_loss(speaker_, ": \"zip_data\" is no object");
    TITAN_ASSIGN_OR_RETURN(shard.zip_name, file_name(*zip, "zip_data"));
    TITAN_ASSIGN_OR_RETURN(shard.zip_digests, digests(*zip, "zip_data"));
    if (const auto size = integer(*zip, "bytes"); size && *size >= 0)
      shard.zip_bytes = static_cast<std::uint64_t>(*size);
    const std::string compression = text("compression");
    if (compression != "zstd" && !compression.starts_with("zstd:"))
      return invalid_argument(speaker_, " is compressed by '", compression,
                              "'; zstd is read, other shards must be decompressed first");
    return ok_status();
  }

  Status read_columns(MdsShardInfo& shard) const {
    const auto list = [&](const char* key) {
      const auto found = json_.find(key);
      return found != json_.end() && found->is_array() ? *found : Json::array();
    };
    const Json names = list("column_names"), encodings = list("column_encodings"),
               sizes = list("column_sizes");
    if (names.empty() || names.size() != encodings.size() || names.size() != sizes.size())
      return data_loss(
          speaker_,
          ": \"column_names\", \"column_encodings\" and \"column_sizes\" are not lists "
          "of one length");
    for (std::size_t i = 0; i < names.size(); ++i) {
      const bool fits = names[i].is_string() && encodings[i].is_string() &&
                        (sizes[i].is_null() || (sizes[i].is_number_unsigned() &&
                                                sizes[i].get<std::uint64_t>() <=
                                                    std::numeric_limits<std::uint32_t>::max()));
      if (!fits) return data_loss(speaker_, ": column ", i, " is not described well");
      shard.columns.push_back({.name = names[i].get<std::string>(),
                               .encoding = encodings[i].get<std::string>(),
                               .size = {}});
      if (!sizes[i].is_null()) shard.columns.back().size = sizes[i].get<std::uint32_t>();
    }
    return ok_status();
  }

  const Json& json_;
  std::string speaker_;
};

}  // namespace

StatusOr<std::vector<MdsShardInfo>> parse_mds_index(const std::string& text,
                                                    const std::string& path) {
  if (nests_too_deep(text)) return data_loss("[mds] ", path, " nests lists or objects too deep");
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return data_loss("[mds] ", path, " is not a JSON object");
  const auto list = json.find("shards");
  if (list == json.end() || !list->is_array())
    return data_loss(
        "[mds] ", path, " has no list \"shards\"",
        json.contains("shardlist") ? ": it lists tars (training.dataset=webdataset)" : "");
  std::vector<MdsShardInfo> shards;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Json& entry = (*list)[i];
    TITAN_ASSIGN_OR_RETURN(shards.emplace_back(),
                           ShardParser(entry, str_cat("[mds] ", path, ", shard ", i)).parse());
  }
  return shards;
}

}  // namespace titan
