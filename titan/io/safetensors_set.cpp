#include "titan/io/safetensors_set.h"

#include "titan/io/shard_index.h"
#include "titan/io/weight_files.h"

namespace titan {

StatusOr<SafetensorsSet> SafetensorsSet::open(const std::string& path) {
  SafetensorsSet set;
  TITAN_ASSIGN_OR_RETURN(set.path_, find_weight_file(path));
  if (is_shard_index(set.path_)) {
    TITAN_RETURN_IF_ERROR(set.open_shards(set.path_));
    return set;
  }
  TITAN_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open(set.path_));
  for (const TensorEntry& entry : file.entries()) set.file_of_.emplace(entry.name, 0);
  set.files_.push_back(std::move(file));
  return set;
}

Status SafetensorsSet::open_shards(const std::string& index_path) {
  constexpr const char* kSpeaker = "[safetensors]";
  TITAN_ASSIGN_OR_RETURN(const ShardMap index,
                         read_shard_index(index_path, kSafetensorsEnding, kSpeaker));
  ShardCheck check(index);
  for (const std::string& name : files_of(index)) {
    TITAN_ASSIGN_OR_RETURN(SafetensorsFile file,
                           SafetensorsFile::open(path_beside(index_path, name)));
    for (const TensorEntry& entry : file.entries()) {
      check.add(entry.name, name);
      file_of_.emplace(entry.name, files_.size());
    }
    files_.push_back(std::move(file));
  }
  return check.result(index_path, kSpeaker);
}

std::vector<TensorSpec> SafetensorsSet::tensors() const {
  std::vector<TensorSpec> specs;
  for (const SafetensorsFile& file : files_)
    for (const TensorEntry& entry : file.entries())
      specs.push_back({entry.name, entry.type, entry.shape});
  return specs;
}

const TensorEntry* SafetensorsSet::find(const std::string& name) const {
  const auto found = file_of_.find(name);
  return found == file_of_.end() ? nullptr : files_[found->second].find(name);
}

void SafetensorsSet::release(const TensorEntry& entry, std::size_t first_byte,
                             std::size_t size_bytes) const {
  files_[file_of_.at(entry.name)].file().release(entry.offset + first_byte, size_bytes);
}

}  // namespace titan
