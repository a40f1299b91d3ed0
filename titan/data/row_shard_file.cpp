// Writes row shards of version 2, one row after the other.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>

#include <nlohmann/json.hpp>

#include "titan/base/hash.h"
#include "titan/data/encoded_file.h"
#include "titan/data/row_shards.h"
#include "titan/data/text_coding.h"
#include "titan/io/atomic_file.h"
#include "titan/io/headed_file.h"
#include "titan/io/safetensors.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

/// Room for five tensors' names and sizes, filled up with spaces, as the format allows.
constexpr std::size_t kHeadBytes = 1024;

/// A safetensors header of exactly kHeadBytes for tensors that lie end to end.
std::string render_head(const std::vector<TensorSpec>& specs) {
  nlohmann::ordered_json json;
  std::uint64_t offset = 0;
  for (const TensorSpec& spec : specs) {
    std::uint64_t bytes = element_size(spec.type);
    for (const int64_t size : spec.shape) bytes *= static_cast<std::uint64_t>(size);
    json[spec.name] = {{"dtype", name_of(spec.type)},
                       {"shape", spec.shape},
                       {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = json.dump();
  const std::uint64_t size = kHeadBytes - 8;
  TITAN_CHECK(text.size() <= size, "[rows] the header needs ", text.size(), " bytes");
  text.resize(size, ' ');
  std::string head(8, '\0');
  std::memcpy(head.data(), &size, 8);  // little-endian, as everything here
  return head + text;
}

class RowShardFile : public EncodedFile {
 public:
  RowShardFile(std::unique_ptr<HeadedFile> file, std::string path, const EncodedShapes& shapes)
      : file_(std::move(file)),
        path_(std::move(path)),
        width_(static_cast<std::size_t>(shapes[0].back())) {}

  Status append(const EncodedRow& row) override {
    if (row.timestep && (*row.timestep < 0 || *row.timestep > INT32_MAX))
      return invalid_argument("timestep out of range (", *row.timestep, ")");
    TITAN_ASSIGN_OR_RETURN(const TextPlace text, place_text(row));
    const auto image = static_cast<int64_t>(file_->size());
    for (const std::size_t field : {std::size_t{2}, std::size_t{3}})
      TITAN_RETURN_IF_ERROR(file_->append(row.values[field].data(), row.values[field].size()));
    TITAN_RETURN_IF_ERROR(align());
    places_.insert(places_.end(), {text.offset, text.bytes, image});
    keys_ += row.key;
    key_ends_.push_back(static_cast<int64_t>(keys_.size()));
    timesteps_.push_back(static_cast<std::int32_t>(row.timestep.value_or(kNoTimestep)));
    return ok_status();
  }

  StatusOr<int64_t> finish() override {
    const auto rows = static_cast<int64_t>(timesteps_.size());
    const auto data = static_cast<int64_t>(file_->size());
    TITAN_RETURN_IF_ERROR(file_->append(places_.data(), places_.size() * 8));
    TITAN_RETURN_IF_ERROR(file_->append(key_ends_.data(), key_ends_.size() * 8));
    TITAN_RETURN_IF_ERROR(file_->append(timesteps_.data(), timesteps_.size() * 4));
    TITAN_RETURN_IF_ERROR(file_->append(keys_.data(), keys_.size()));
    const auto bytes = static_cast<int64_t>(kHeadBytes + file_->size());
    TITAN_RETURN_IF_ERROR(file_->finish(
        render_head({{"data", TensorType::kU8, {data}},
                     {"places", TensorType::kI64, {rows, 3}},
                     {"key_ends", TensorType::kI64, {rows}},
                     {"timesteps", TensorType::kI32, {rows}},
                     {"keys", TensorType::kU8, {static_cast<int64_t>(keys_.size())}}})));
    return bytes;
  }

 private:
  struct TextPlace {
    int64_t offset = 0;
    int64_t bytes = 0;
  };

  /// The same encodings are stored once: rows are compared by what they hold, not by caption, so
  /// nothing is lost where one caption has come out with other bits in another batch.
  StatusOr<TextPlace> place_text(const EncodedRow& row) {
    Xxh3Stream hash;
    for (const std::size_t field : {std::size_t{0}, std::size_t{1}})
      hash.update(row.values[field].data(), row.values[field].size());
    const auto [found, is_new] = texts_.try_emplace(hash.hex());
    if (!is_new) return found->second;
    std::span<const std::byte> t5 = row.values[0];
    const std::vector<std::byte> coded = code_text(t5, width_);
    if (coded.size() < t5.size()) t5 = coded;
    found->second = {static_cast<int64_t>(file_->size()),
                     static_cast<int64_t>(t5.size() + row.values[1].size())};
    TITAN_RETURN_IF_ERROR(file_->append(t5.data(), t5.size()));
    TITAN_RETURN_IF_ERROR(file_->append(row.values[1].data(), row.values[1].size()));
    TITAN_RETURN_IF_ERROR(align());
    return found->second;
  }

  Status align() {
    constexpr std::array<char, kRowAlignment> kZeros = {};
    return file_->append(kZeros.data(),
                         (kRowAlignment - file_->size() % kRowAlignment) % kRowAlignment);
  }

  std::unique_ptr<HeadedFile> file_;
  std::string path_;
  std::size_t width_;
  std::map<std::string, TextPlace> texts_;  ///< by hash of the values
  std::vector<int64_t> places_;
  std::vector<int64_t> key_ends_;
  std::vector<std::int32_t> timesteps_;
  std::string keys_;
};

class RowShardFormat : public EncodedFormat {
 public:
  StatusOr<std::unique_ptr<EncodedFile>> create_file(const std::string& path,
                                                     const EncodedShapes& shapes) const override {
    TITAN_ASSIGN_OR_RETURN(std::unique_ptr<HeadedFile> file, HeadedFile::create(path, kHeadBytes));
    return std::make_unique<RowShardFile>(std::move(file), path, shapes);
  }

  std::string file_name(std::size_t index, std::size_t count) const override {
    char name[64];
    std::snprintf(name, sizeof name, "rows-%05zu-of-%05zu.safetensors", index, count);
    return name;
  }

  Status write_index(const std::string& folder, const EncodedShapes& shapes,
                     const std::vector<std::pair<std::string, int64_t>>& files) const override {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const auto& [name, rows] : files) list.push_back({{"name", name}, {"rows", rows}});
    nlohmann::ordered_json fields;
    for (std::size_t i = 0; i < kNumEncodedFields; ++i) fields[kEncodedFields[i]] = shapes[i];
    const nlohmann::ordered_json index = {{"format", kRowShardsFormat},
                                          {"version", kCodedRowShardsVersion},
                                          {"fields", fields},
                                          {"files", list}};
    return write_file_atomically((fs::path(folder) / kRowShardsIndex).string(),
                                 index.dump(2) + "\n");
  }

  int64_t row_bytes(const EncodedShapes& shapes) const override {
    return static_cast<int64_t>(row_stride(shapes));
  }
  int64_t default_file_bytes() const override { return 4'000'000'000; }
};

}  // namespace

std::unique_ptr<EncodedFormat> make_row_shard_format() {
  return std::make_unique<RowShardFormat>();
}

}  // namespace titan
