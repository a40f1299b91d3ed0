#include "titan/checkpoint/checkpoint_reader.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "titan/base/hash.h"
#include "titan/data/tensor_file.h"
#include "titan/io/file_descriptor.h"

namespace titan::checkpoint {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += str_cat(i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

/// Part of a stored fragment and where it goes.
struct Piece {
  const StoredFragment* source;
  int64_t source_offset;
  int64_t target_offset;  ///< within the wanted range
  int64_t length;
};

/// The stored pieces that make up elements [begin, begin + length) of a tensor; nothing where some
/// are not stored.
std::optional<std::vector<Piece>> pieces_of(const StoredTensor& tensor, int64_t begin,
                                            int64_t length) {
  std::vector<Piece> pieces;
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

/// Files are opened once.
class OpenFiles {
 public:
  explicit OpenFiles(std::string folder) : folder_(std::move(folder)) {}
  StatusOr<at::Tensor> view(const StoredFragment& fragment, const StoredTensor& tensor) {
    auto found = files_.find(fragment.file);
    if (found == files_.end()) {
      TITAN_ASSIGN_OR_RETURN(TensorFile file, TensorFile::open(folder_ + "/" + fragment.file));
      found = files_.emplace(fragment.file, std::move(file)).first;
    }
    TITAN_ASSIGN_OR_RETURN(at::Tensor stored, found->second.view(fragment.tensor));
    if (stored.numel() != fragment.length ||
        name_of(tensor_type_of(stored.scalar_type())) != tensor.dtype)
      return data_loss("[checkpoint] ", folder_, "/", fragment.file,
                       " does not hold what index.json says (", fragment.tensor, ")");
    return stored.reshape({-1});
  }

 private:
  std::string folder_;
  std::map<std::string, TensorFile> files_;
};

Status copy_pieces(const std::vector<Piece>& pieces, const StoredTensor& tensor, OpenFiles& files,
                   const at::Tensor& target) {
  const at::NoGradGuard no_grad;
  for (const Piece& piece : pieces) {
    TITAN_ASSIGN_OR_RETURN(const at::Tensor stored, files.view(*piece.source, tensor));
    target.narrow(0, piece.target_offset, piece.length)
        .copy_(stored.narrow(0, piece.source_offset, piece.length));
  }
  return ok_status();
}

}  // namespace

std::vector<CheckpointItem> items_of(const std::string& prefix,
                                     const std::vector<parallel::FlatUnit>& units,
                                     at::Tensor parallel::FlatUnit::*buffer) {
  std::vector<CheckpointItem> items;
  for (const parallel::FlatUnit& unit : units)
    items.push_back({prefix, unit.*buffer, unit.fragments});
  return items;
}

std::vector<CheckpointItem> items_of(const std::string& prefix,
                                     const std::vector<parallel::FlatUnit>& units,
                                     const std::vector<at::Tensor>& buffers) {
  TITAN_CHECK(buffers.size() == units.size(), "[checkpoint] one buffer per unit (prefix=", prefix,
              ", buffers=", buffers.size(), ", units=", units.size(), ")");
  std::vector<CheckpointItem> items;
  for (std::size_t i = 0; i < units.size(); ++i)
    items.push_back({prefix, buffers[i], units[i].fragments});
  return items;
}

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

Status CheckpointReader::verify() const {
  for (const auto& [name, file] : index_.files) TITAN_RETURN_IF_ERROR(verify_file(name));
  return ok_status();
}

Status CheckpointReader::verify_file(const std::string& name) const {
  const std::string path = folder_ + "/" + name;
  const StoredFile& expected = index_.files.at(name);
  TITAN_ASSIGN_OR_RETURN(const MappedFile file,
                         MappedFile::open(path, MappedFile::Access::kSequential));
  if (file.size() != expected.size_bytes)
    return data_loss("[checkpoint] ", path, " is damaged: ", file.size(),
                     " bytes, index.json says ", expected.size_bytes);
  if (xxh3_128_hex(file.data(), file.size()) != expected.xxh3_128)
    return data_loss("[checkpoint] ", path,
                     " is damaged: its XXH3-128 is not the one in index.json");
  return ok_status();
}

StatusOr<const StoredTensor*> CheckpointReader::find(const std::string& key) const {
  const auto found = index_.tensors.find(key);
  if (found == index_.tensors.end())
    return not_found("[checkpoint] ", folder_, " has no tensor ", key);
  return &found->second;
}

Status CheckpointReader::load(const std::vector<CheckpointItem>& items) const {
  struct Copy {
    std::vector<Piece> pieces;
    const StoredTensor* tensor;
    at::Tensor target;
  };
  std::vector<Copy> copies;
  std::set<std::string> needed;
  for (const CheckpointItem& item : items) {
    const std::string dtype = name_of(tensor_type_of(item.flat.scalar_type()));
    for (const parallel::Fragment& fragment : item.fragments) {
      const std::string key = item.key(fragment);
      TITAN_ASSIGN_OR_RETURN(const StoredTensor* tensor, find(key));
      if (tensor->shape != fragment.shape)
        return failed_precondition("[checkpoint] ", key, " has another shape (in ", folder_, ": ",
                                   shape_text(tensor->shape),
                                   ", in this run: ", shape_text(fragment.shape), ")");
      if (tensor->dtype != dtype)
        return failed_precondition("[checkpoint] ", key, " has another type (in ", folder_, ": ",
                                   tensor->dtype, ", in this run: ", dtype, ")");
      auto pieces = pieces_of(*tensor, fragment.global_offset, fragment.length);
      if (!pieces) return data_loss("[checkpoint] ", folder_, " holds ", key, " with gaps");
      for (const Piece& piece : *pieces) needed.insert(piece.source->file);
      copies.push_back({std::move(*pieces), tensor, parallel::fragment_view(item.flat, fragment)});
    }
  }
  for (const std::string& name : needed) TITAN_RETURN_IF_ERROR(verify_file(name));
  OpenFiles files(folder_);
  for (const Copy& copy : copies)
    TITAN_RETURN_IF_ERROR(copy_pieces(copy.pieces, *copy.tensor, files, copy.target));
  return ok_status();
}

StatusOr<at::Tensor> CheckpointReader::read_whole(const std::string& key) const {
  TITAN_ASSIGN_OR_RETURN(const StoredTensor* tensor, find(key));
  TITAN_ASSIGN_OR_RETURN(const TensorType type, tensor_type_from_name(tensor->dtype));
  TITAN_ASSIGN_OR_RETURN(const int64_t count, num_elements(tensor->shape));
  const auto pieces = pieces_of(*tensor, 0, count);
  if (!pieces) return data_loss("[checkpoint] ", folder_, " holds ", key, " with gaps");
  const at::Tensor whole = at::empty({count}, scalar_type_of(type));
  OpenFiles files(folder_);
  TITAN_RETURN_IF_ERROR(copy_pieces(*pieces, *tensor, files, whole));
  return whole.reshape(tensor->shape);
}

}  // namespace titan::checkpoint
