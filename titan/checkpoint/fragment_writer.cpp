#include "titan/checkpoint/fragment_writer.h"

#include <algorithm>

#include "titan/data/tensor_file.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/safetensors.h"

namespace titan::checkpoint {
namespace {

struct Part {
  const CheckpointItem* item;
  const parallel::Fragment* fragment;
  TensorSpec spec;
};

/// In the order of the file: larger elements first, which keeps every tensor aligned.
std::vector<Part> parts_of(const std::vector<CheckpointItem>& items, CheckpointIndex& index,
                           const std::string& file) {
  std::vector<Part> parts;
  for (const CheckpointItem& item : items) {
    const TensorType type = tensor_type_of(item.flat.scalar_type());
    for (const parallel::Fragment& fragment : item.fragments) {
      if (fragment.length == 0 && fragment.global_offset > 0) continue;  // a rank without a share
      const std::string key = item.key(fragment);
      StoredTensor& tensor = index.tensors[key];
      // A second fragment of one tensor in one file needs a name of its own.
      const std::string name =
          tensor.fragments.empty() ? key : str_cat(key, "@", fragment.global_offset);
      tensor.dtype = name_of(type);
      tensor.shape = fragment.shape;
      tensor.fragments.push_back({file, name, fragment.global_offset, fragment.length});
      parts.push_back({&item, &fragment, {name, type, {fragment.length}}});
    }
  }
  std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return element_size(a.spec.type) > element_size(b.spec.type);
  });
  return parts;
}

}  // namespace

StatusOr<CheckpointIndex> write_fragments(const std::string& folder, const std::string& file,
                                          const std::vector<CheckpointItem>& items) {
  CheckpointIndex index;
  const std::vector<Part> parts = parts_of(items, index, file);
  if (parts.empty()) return index;
  std::vector<TensorSpec> specs;
  for (const Part& part : parts) specs.push_back(part.spec);
  const std::string path = folder + "/" + file;
  TITAN_ASSIGN_OR_RETURN(const auto writer, SafetensorsWriter::create(path, specs));
  for (const Part& part : parts) {
    const at::Tensor bytes =
        parallel::fragment_view(part.item->flat, *part.fragment).cpu().contiguous();
    TITAN_RETURN_IF_ERROR(writer->write(bytes.const_data_ptr(), bytes.nbytes()));
  }
  TITAN_ASSIGN_OR_RETURN(const std::string hash, writer->finish());
  TITAN_ASSIGN_OR_RETURN(const FileStamp stamp, file_stamp(path));
  index.files[file] = {stamp.size_bytes, hash};
  return index;
}

}  // namespace titan::checkpoint
