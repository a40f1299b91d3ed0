#include "titan/checkpoint/weights.h"

#include <ATen/ops/empty.h>

#include <filesystem>

#include "titan/checkpoint/checkpoint_folder.h"
#include "titan/data/tensor_file.h"

namespace titan::checkpoint {
namespace {

/// A tensor that is put together from fragments.
struct Whole {
  std::vector<int64_t> shape;
  at::ScalarType type = at::kFloat;
  int64_t count = 0;
  std::vector<std::pair<const CheckpointItem*, const parallel::Fragment*>> pieces;
};

StatusOr<NamedWeights> weights_of_file(const std::string& path) {
  TITAN_ASSIGN_OR_RETURN(const TensorFile file, TensorFile::open(path));
  NamedWeights weights;
  for (const TensorEntry& entry : file.entries())
    weights.emplace_back(entry.name, file.view(entry).clone());
  return weights;
}

/// `path` itself where it is one checkpoint, else the latest in it.
StatusOr<std::string> step_folder_of(const std::string& path) {
  if (std::filesystem::exists(path + "/index.json")) return path;
  const CheckpointFolder folder(path);
  TITAN_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, folder.steps());
  if (steps.empty()) return not_found("[checkpoint] there is no checkpoint in ", path);
  return folder.step_path(steps.back());
}

}  // namespace

Status export_weights(const std::string& path, const std::vector<CheckpointItem>& items,
                      const std::map<std::string, std::string>& metadata,
                      std::optional<at::ScalarType> type) {
  std::map<std::string, Whole> wholes;
  for (const CheckpointItem& item : items) {
    for (const parallel::Fragment& fragment : item.fragments) {
      Whole& whole = wholes[fragment.name];
      whole.shape = fragment.shape;
      whole.type = item.flat.scalar_type();
      whole.pieces.emplace_back(&item, &fragment);
    }
  }
  std::vector<TensorSpec> specs;
  for (auto& [name, whole] : wholes) {
    TITAN_ASSIGN_OR_RETURN(whole.count, num_elements(whole.shape));
    int64_t held = 0;
    for (const auto& [item, fragment] : whole.pieces) held += fragment->length;
    if (held != whole.count)
      return internal_error("[checkpoint] cannot export ", name, ": this rank holds ", held, " of ",
                            whole.count, " elements");
    specs.push_back({name, tensor_type_of(type.value_or(whole.type)), whole.shape});
  }
  TITAN_ASSIGN_OR_RETURN(const auto writer, SafetensorsWriter::create(path, specs, metadata));
  for (const auto& [name, whole] : wholes) {
    const at::Tensor flat = at::empty({whole.count}, type.value_or(whole.type));
    for (const auto& [item, fragment] : whole.pieces)
      flat.narrow(0, fragment->global_offset, fragment->length)
          .copy_(parallel::fragment_view(item->flat, *fragment));
    TITAN_RETURN_IF_ERROR(writer->write(flat.const_data_ptr(), flat.nbytes()));
  }
  return writer->finish().status();
}

StatusOr<NamedWeights> read_weights(const std::string& path, const std::string& prefix) {
  if (std::filesystem::is_regular_file(path)) return weights_of_file(path);
  TITAN_ASSIGN_OR_RETURN(const std::string folder, step_folder_of(path));
  TITAN_ASSIGN_OR_RETURN(const CheckpointReader reader, CheckpointReader::open(folder));
  if (!reader.has_prefix(prefix))
    return not_found("[checkpoint] ", folder, " holds no weights under \"", prefix, "\"");
  TITAN_RETURN_IF_ERROR(reader.verify());
  NamedWeights weights;
  for (const std::string& name : reader.names(prefix)) {
    TITAN_ASSIGN_OR_RETURN(at::Tensor tensor, reader.read_whole(prefix + "." + name));
    weights.emplace_back(name, std::move(tensor));
  }
  return weights;
}

}  // namespace titan::checkpoint
