#include "titan/checkpoint/checkpoint_reader.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <optional>

#include "titan/data/tensor_file.h"
#include "titan/io/file_descriptor.h"

namespace titan::checkpoint {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += str_cat(i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

/// Weights and moments may change between these from run to run (optimizer.state_dtype,
/// master_weights).
bool converts(at::ScalarType stored, at::ScalarType wanted) {
  const auto is_number = [](at::ScalarType type) {
    return type == at::kFloat || type == at::kBFloat16;
  };
  return stored == wanted || (is_number(stored) && is_number(wanted));
}

/// The stored pieces that make up elements [begin, begin + length) of a tensor; nothing where some
/// are not stored.
std::optional<std::vector<FragmentPiece>> pieces_of(const StoredTensor& tensor, int64_t begin,
                                                    int64_t length) {
  std::vector<FragmentPiece> pieces;
  int64_t at = begin;
  for (const StoredFragment& stored : tensor.fragments) {  // by offset, without overlap
    const int64_t from = std::max(at, stored.offset);
    const int64_t to = std::min(begin + length, stored.offset + stored.length);
    if (from >= to) continue;
    if (from != at) return std::nullopt;
    pieces.push_back({&stored, from - stored.offset, from - begin, to - from});
    at = to;
  }
  if (at != begin + length) return std::nullopt;
  return pieces;
}

}  // namespace

StatusOr<CheckpointReader> CheckpointReader::open(const std::string& step_folder) {
  const std::string path = step_folder + "/index.json";
  TITAN_ASSIGN_OR_RETURN(const std::string text, titan::read_file(path));
  TITAN_ASSIGN_OR_RETURN(CheckpointIndex index, index_from_json(text, path));
  return CheckpointReader(step_folder, std::move(index));
}

bool CheckpointReader::has_prefix(const std::string& prefix) const {
  const auto found = index_.tensors.lower_bound(prefix + ".");
  return found != index_.tensors.end() &&
         found->first.compare(0, prefix.size() + 1, prefix + ".") == 0;
}

std::vector<std::string> CheckpointReader::names(const std::string& prefix) const {
  std::vector<std::string> names;
  for (const auto& [key, tensor] : index_.tensors)
    if (key.compare(0, prefix.size() + 1, prefix + ".") == 0)
      names.push_back(key.substr(prefix.size() + 1));
  return names;
}

Status CheckpointReader::verify(int threads) const {
  for (const auto& [name, file] : index_.files)
    TITAN_RETURN_IF_ERROR(verify_all(folder_ + "/" + name, file, threads));
  return ok_status();
}

StatusOr<const StoredTensor*> CheckpointReader::find(const std::string& key) const {
  const auto found = index_.tensors.find(key);
  if (found == index_.tensors.end())
    return not_found("[checkpoint] ", folder_, " has no tensor ", key);
  return &found->second;
}

StatusOr<std::vector<CheckpointReader::WantedFragment>> CheckpointReader::find_all(
    const std::vector<CheckpointItem>& items) const {
  std::vector<WantedFragment> wanted;
  for (const CheckpointItem& item : items) {
    for (const parallel::Fragment& fragment : item.fragments) {
      const std::string key = item.key(fragment);
      TITAN_ASSIGN_OR_RETURN(const StoredTensor* tensor, find(key));
      if (tensor->shape != fragment.shape)
        return failed_precondition("[checkpoint] ", key, " has another shape (in ", folder_, ": ",
                                   shape_text(tensor->shape),
                                   ", in this run: ", shape_text(fragment.shape), ")");
      TITAN_ASSIGN_OR_RETURN(const TensorType type, tensor_type_from_name(tensor->dtype));
      if (!converts(scalar_type_of(type), item.dtype()))
        return failed_precondition("[checkpoint] ", key, " has another type (in ", folder_, ": ",
                                   tensor->dtype,
                                   ", in this run: ", name_of(tensor_type_of(item.dtype())), ")");
      auto pieces = pieces_of(*tensor, fragment.global_offset, fragment.length);
      if (!pieces) return data_loss("[checkpoint] ", folder_, " holds ", key, " with gaps");
      wanted.push_back({tensor, std::move(*pieces), item.part(fragment)});
    }
  }
  return wanted;
}

Status CheckpointReader::load(const std::vector<CheckpointItem>& items,
                              const LoadOptions& options) const {
  const at::NoGradGuard no_grad;
  TITAN_ASSIGN_OR_RETURN(const std::vector<WantedFragment> wanted, find_all(items));
  FragmentFiles files(folder_, index_, options);
  for (const WantedFragment& fragment : wanted)
    for (const FragmentPiece& piece : fragment.pieces)
      TITAN_RETURN_IF_ERROR(files.add(piece, *fragment.stored, fragment.target));
  return files.read();
}

StatusOr<at::Tensor> CheckpointReader::read_whole(const std::string& key) const {
  TITAN_ASSIGN_OR_RETURN(const StoredTensor* tensor, find(key));
  TITAN_ASSIGN_OR_RETURN(const TensorType type, tensor_type_from_name(tensor->dtype));
  TITAN_ASSIGN_OR_RETURN(const int64_t count, num_elements(tensor->shape));
  const at::Tensor whole = at::empty({count}, scalar_type_of(type));
  const auto pieces = pieces_of(*tensor, 0, count);
  if (!pieces) return data_loss("[checkpoint] ", folder_, " holds ", key, " with gaps");
  FragmentFiles files(folder_, index_, {});
  for (const FragmentPiece& piece : *pieces)
    TITAN_RETURN_IF_ERROR(files.add(piece, *tensor, {whole}));
  TITAN_RETURN_IF_ERROR(files.read());
  return whole.reshape(tensor->shape);
}

}  // namespace titan::checkpoint
