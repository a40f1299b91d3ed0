#include "titan/checkpoint/checkpoint_index.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "titan/base/hash.h"
#include "titan/io/json_as.h"

namespace titan::checkpoint {
namespace {

using Json = nlohmann::json;

constexpr const char* kFormat = "titan-checkpoint";
constexpr const char* kChecksum = "index_xxh3_128";

std::string checksum_of(const Json& index) {
  const std::string text = index.dump();
  return xxh3_128_hex(text.data(), text.size());
}

Json json_of(const StoredTensor& tensor, const std::string& key) {
  Json fragments = Json::array();
  for (const StoredFragment& fragment : tensor.fragments) {
    Json entry = {
        {"file", fragment.file}, {"offset", fragment.offset}, {"length", fragment.length}};
    if (fragment.tensor != key) entry["tensor"] = fragment.tensor;
    fragments.push_back(std::move(entry));
  }
  return {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"fragments", std::move(fragments)}};
}

StoredTensor tensor_of(const Json& json, const std::string& key) {
  StoredTensor tensor;
  json.at("dtype").get_to(tensor.dtype);
  json_to(json.at("shape"), tensor.shape);
  for (const Json& entry : json.at("fragments")) {
    tensor.fragments.push_back({entry.at("file"), entry.value("tensor", key),
                                json_as<int64_t>(entry.at("offset")),
                                json_as<int64_t>(entry.at("length"))});
  }
  return tensor;
}

Json json_of(const StoredFile& file) {
  Json entry = {{"bytes", file.size_bytes}, {"xxh3_128", file.xxh3_128}};
  if (file.block_bytes > 0) {
    entry["block_bytes"] = file.block_bytes;
    entry["blocks_xxh3_128"] = file.blocks;
  }
  return entry;
}

StoredFile file_of(const Json& json) {
  StoredFile file{json_as<uint64_t>(json.at("bytes")), json.at("xxh3_128").get<std::string>()};
  if (json.contains("block_bytes")) json_to(json.at("block_bytes"), file.block_bytes);
  file.blocks = json.value("blocks_xxh3_128", std::string());
  return file;
}

CheckpointIndex index_of(const Json& json) {
  CheckpointIndex index;
  json_to(json.at("step"), index.meta.step);
  json_to(json.at("cursor"), index.meta.cursor);
  json_to(json.at("seed"), index.meta.seed);
  json_to(json.at("world_size"), index.meta.world_size);
  json.at("fingerprints").get_to(index.meta.fingerprints);
  for (const auto& [name, file] : json.at("files").items()) index.files[name] = file_of(file);
  for (const auto& [key, tensor] : json.at("tensors").items())
    index.tensors[key] = tensor_of(tensor, key);
  return index;
}

/// A file of the same folder and nothing else.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

}  // namespace

StatusOr<int64_t> num_elements(const std::vector<int64_t>& shape) {
  int64_t count = 1;  // of the sizes that are not zero: rows of an empty tensor do not overflow
  bool empty = false;
  for (const int64_t size : shape) {
    empty = empty || size == 0;
    if (size < 0 || (size > 0 && __builtin_mul_overflow(count, size, &count)))
      return data_loss("[checkpoint] impossible shape");
  }
  return empty ? 0 : count;
}

Status CheckpointIndex::merge(const CheckpointIndex& other) {
  for (const auto& [name, file] : other.files)
    if (!files.emplace(name, file).second)
      return internal_error("[checkpoint] two ranks wrote ", name);
  for (const auto& [key, tensor] : other.tensors) {
    const auto [mine, added] = tensors.emplace(key, tensor);
    if (added) continue;
    if (mine->second.shape != tensor.shape || mine->second.dtype != tensor.dtype)
      return internal_error("[checkpoint] ranks disagree on shape or dtype of ", key);
    mine->second.fragments.insert(mine->second.fragments.end(), tensor.fragments.begin(),
                                  tensor.fragments.end());
  }
  return ok_status();
}

Status CheckpointIndex::normalize() {
  for (auto& [key, tensor] : tensors) {
    TITAN_ASSIGN_OR_RETURN(const int64_t count, num_elements(tensor.shape));
    std::sort(tensor.fragments.begin(), tensor.fragments.end(),
              [](const StoredFragment& a, const StoredFragment& b) { return a.offset < b.offset; });
    int64_t end = 0;
    for (const StoredFragment& fragment : tensor.fragments) {
      const bool fits = fragment.offset >= end && fragment.length >= 0 &&
                        fragment.offset <= count && fragment.length <= count - fragment.offset;
      if (!fits || !files.contains(fragment.file))
        return data_loss("[checkpoint] fragments of ", key, " do not fit together");
      end = fragment.offset + fragment.length;
    }
  }
  return ok_status();
}

Status CheckpointIndex::check_complete() const {
  for (const auto& [key, tensor] : tensors) {
    TITAN_ASSIGN_OR_RETURN(const int64_t count, num_elements(tensor.shape));
    int64_t held = 0;
    for (const StoredFragment& fragment : tensor.fragments) held += fragment.length;
    if (held != count)
      return internal_error("[checkpoint] the ranks hold ", held, " of ", count, " elements of ",
                            key);
  }
  return ok_status();
}

std::string to_json(const CheckpointIndex& index) {
  Json json = {{"format", kFormat},
               {"version", CheckpointIndex::kVersion},
               {"step", index.meta.step},
               {"cursor", index.meta.cursor},
               {"seed", index.meta.seed},
               {"world_size", index.meta.world_size},
               {"fingerprints", index.meta.fingerprints},
               {"files", Json::object()},
               {"tensors", Json::object()}};
  for (const auto& [name, file] : index.files) json["files"][name] = json_of(file);
  for (const auto& [key, tensor] : index.tensors) json["tensors"][key] = json_of(tensor, key);
  json[kChecksum] = checksum_of(json);
  return json.dump(1) + "\n";
}

StatusOr<CheckpointIndex> index_from_json(const std::string& text, const std::string& speaker) {
  constexpr int kDeepest = 16;  // an index has 5 levels; what is deeper would cost stack later
  const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= kDeepest; };
  Json json = Json::parse(text, shallow, /*allow_exceptions=*/false);
  if (!json.is_object())
    return data_loss("[checkpoint] ", speaker, " is damaged: not a JSON object");
  try {
    if (json.at("format") != kFormat)
      return data_loss("[checkpoint] ", speaker, " is no checkpoint of titan");
    const int64_t version = json_as<int64_t>(json.at("version"));
    if (version > CheckpointIndex::kVersion)
      return failed_precondition("[checkpoint] ", speaker,
                                 " was written by a newer titan (version ", version,
                                 ", this one reads up to ", CheckpointIndex::kVersion, ")");
    const std::string checksum = json.at(kChecksum).get<std::string>();
    json.erase(kChecksum);
    if (checksum != checksum_of(json))
      return data_loss("[checkpoint] ", speaker, " is damaged: its checksum does not match");
    CheckpointIndex index = index_of(json);
    for (const auto& [name, file] : index.files) {
      if (!is_plain_name(name))
        return data_loss("[checkpoint] ", speaker, " names a file outside its folder: ", name);
      constexpr uint64_t kDigits = 32;
      if (file.blocks.size() != file.num_blocks() * kDigits)
        return data_loss("[checkpoint] ", speaker, " is damaged: checksums of ", name);
    }
    TITAN_RETURN_IF_ERROR(annotate(index.normalize(), "[checkpoint] " + speaker + " is damaged"));
    return index;
  } catch (const Json::exception& error) {
    return data_loss("[checkpoint] ", speaker, " is damaged: ", error.what());
  }
}

}  // namespace titan::checkpoint
