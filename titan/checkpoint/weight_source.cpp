#include "titan/checkpoint/weight_source.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <utility>

#include "titan/checkpoint/checkpoint_folder.h"
#include "titan/checkpoint/checkpoint_index.h"
#include "titan/checkpoint/file_reader.h"
#include "titan/checkpoint/file_source.h"
#include "titan/io/file_descriptor.h"

namespace titan::checkpoint {
namespace {

namespace fs = std::filesystem;

/// Tensors of a checkpoint, put together from fragments in the files of its ranks.
class CheckpointSource : public WeightSource {
 public:
  CheckpointSource(std::string folder, std::string prefix, CheckpointIndex index)
      : prefix_(std::move(prefix)), index_(std::move(index)) {
    path_ = std::move(folder);
  }
  Status list();
  bool is_checkpoint() const override { return true; }
  Status verify() const override;
  Status read(const std::string& name, int64_t first, int64_t count, void* out) override;

 private:
  Status copy(const StoredFragment& fragment, TensorType type, int64_t first, int64_t count,
              std::byte* out);

  std::string prefix_;
  CheckpointIndex index_;
  std::map<std::string, SafetensorsFile> files_;
};

Status CheckpointSource::list() {
  const std::string begin = prefix_ + ".";
  std::vector<TensorSpec> tensors;
  for (const auto& [key, tensor] : index_.tensors) {
    if (key.compare(0, begin.size(), begin) != 0) continue;
    TITAN_ASSIGN_OR_RETURN(const TensorType type, tensor_type_from_name(tensor.dtype));
    int64_t at = 0;
    for (const StoredFragment& fragment : tensor.fragments) {  // by offset, without overlap
      if (fragment.offset != at) break;
      at += fragment.length;
    }
    TITAN_ASSIGN_OR_RETURN(const int64_t count, num_elements(tensor.shape));
    if (at != count) return data_loss("[checkpoint] ", path_, " holds ", key, " with gaps");
    tensors.push_back({key.substr(begin.size()), type, tensor.shape});
  }
  if (tensors.empty())
    return not_found("[checkpoint] ", path_, " holds no weights under \"", prefix_, "\"");
  set_tensors(std::move(tensors));
  return ok_status();
}

Status CheckpointSource::verify() const {
  for (const auto& [name, file] : index_.files)
    TITAN_RETURN_IF_ERROR(verify_all(path_ + "/" + name, file, /*threads=*/1));
  return ok_status();
}

Status CheckpointSource::copy(const StoredFragment& fragment, TensorType type, int64_t first,
                              int64_t count, std::byte* out) {
  auto found = files_.find(fragment.file);
  if (found == files_.end()) {
    TITAN_ASSIGN_OR_RETURN(SafetensorsFile file,
                           SafetensorsFile::open(path_ + "/" + fragment.file));
    found = files_.emplace(fragment.file, std::move(file)).first;
  }
  const TensorEntry* entry = found->second.find(fragment.tensor);
  const std::size_t size = element_size(type);
  if (entry == nullptr || entry->type != type ||
      entry->size_bytes != static_cast<std::size_t>(fragment.length) * size)
    return data_loss("[checkpoint] ", path_, "/", fragment.file,
                     " does not hold what index.json says (", fragment.tensor, ")");
  const std::size_t begin = static_cast<std::size_t>(first) * size;
  const std::size_t bytes = static_cast<std::size_t>(count) * size;
  std::memcpy(out, entry->data + begin, bytes);
  found->second.file().release(entry->offset + begin, bytes);
  return ok_status();
}

Status CheckpointSource::read(const std::string& name, int64_t first, int64_t count, void* out) {
  const auto found = index_.tensors.find(prefix_ + "." + name);
  TITAN_CHECK(found != index_.tensors.end(), "[weights] no such tensor (", name, ")");
  TITAN_ASSIGN_OR_RETURN(const TensorType type, tensor_type_from_name(found->second.dtype));
  auto* next = static_cast<std::byte*>(out);
  for (const StoredFragment& fragment : found->second.fragments) {
    const int64_t begin = std::max(first, fragment.offset);
    const int64_t end = std::min(first + count, fragment.offset + fragment.length);
    if (begin >= end) continue;
    TITAN_RETURN_IF_ERROR(copy(fragment, type, begin - fragment.offset, end - begin, next));
    next += static_cast<std::size_t>(end - begin) * element_size(type);
  }
  return ok_status();
}

}  // namespace

void WeightSource::set_tensors(std::vector<TensorSpec> tensors) {
  tensors_ = std::move(tensors);
  for (std::size_t i = 0; i < tensors_.size(); ++i) places_.emplace(tensors_[i].name, i);
}

const TensorSpec* WeightSource::find(const std::string& name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? nullptr : &tensors_[found->second];
}

StatusOr<std::string> checkpoint_of_path(const std::string& path) {
  std::error_code no_folder;  // what is wrong with a path is said where it is opened
  if (!fs::is_directory(path, no_folder)) return std::string();
  if (fs::exists(fs::path(path) / "index.json", no_folder)) return path;
  const CheckpointFolder folder(path);
  TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, folder.steps());
  if (!steps.empty()) return folder.step_path(steps.back());
  const fs::path inner = fs::path(path) / "checkpoint";
  if (fs::is_directory(inner, no_folder)) return checkpoint_of_path(inner.string());
  return std::string();
}

StatusOr<std::unique_ptr<WeightSource>> WeightSource::open(const std::string& path,
                                                           const std::string& prefix) {
  TITAN_ASSIGN_OR_RETURN(const std::string folder, checkpoint_of_path(path));
  if (folder.empty()) return open_weight_files(path);
  const std::string index_path = folder + "/index.json";
  TITAN_ASSIGN_OR_RETURN(const std::string text, read_file(index_path));
  TITAN_ASSIGN_OR_RETURN(CheckpointIndex index, index_from_json(text, index_path));
  auto source = std::make_unique<CheckpointSource>(folder, prefix, std::move(index));
  TITAN_RETURN_IF_ERROR(source->list());
  return source;
}

}  // namespace titan::checkpoint
