#include "titan/io/torch_set.h"

#include <utility>

#include "titan/io/shard_index.h"
#include "titan/io/weight_files.h"

namespace titan {

StatusOr<TorchSet> TorchSet::open(const std::string& path) {
  TorchSet set;
  set.path_ = path;
  if (is_shard_index(path)) {
    TITAN_RETURN_IF_ERROR(set.open_shards());
    return set;
  }
  TITAN_ASSIGN_OR_RETURN(TorchFile file, TorchFile::open(path));
  for (const TorchEntry& entry : file.entries()) set.file_of_.emplace(entry.tensor.name, 0);
  set.files_.push_back(std::move(file));
  return set;
}

Status TorchSet::open_shards() {
  constexpr const char* kSpeaker = "[pickle]";
  TITAN_ASSIGN_OR_RETURN(const ShardMap index, read_shard_index(path_, kTorchEnding, kSpeaker));
  ShardCheck check(index);
  for (const std::string& name : files_of(index)) {
    TITAN_ASSIGN_OR_RETURN(TorchFile file, TorchFile::open(path_beside(path_, name)));
    for (const TorchEntry& entry : file.entries()) {
      check.add(entry.tensor.name, name);
      file_of_.emplace(entry.tensor.name, files_.size());
    }
    files_.push_back(std::move(file));
  }
  return check.result(path_, kSpeaker);
}

std::vector<TensorSpec> TorchSet::tensors() const {
  std::vector<TensorSpec> specs;
  for (const TorchFile& file : files_)
    for (const TorchEntry& entry : file.entries()) specs.push_back(entry.spec());
  return specs;
}

void TorchSet::read(const std::string& name, std::uint64_t first, std::uint64_t count,
                    void* out) const {
  const auto found = file_of_.find(name);
  TITAN_CHECK(found != file_of_.end(), "[weights] no such tensor (", name, ")");
  const TorchFile& file = files_[found->second];
  file.read(*file.find(name), first, count, out);
}

}  // namespace titan
