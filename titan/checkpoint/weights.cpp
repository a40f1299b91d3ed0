#include "titan/checkpoint/weights.h"

#include <ATen/ops/empty.h>

#include <utility>

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

}  // namespace

Status export_weights(const std::string& path, const std::vector<CheckpointItem>& items,
                      const std::map<std::string, std::string>& metadata,
                      std::optional<at::ScalarType> type) {
  std::map<std::string, Whole> wholes;
  for (const CheckpointItem& item : items) {
    for (const parallel::Fragment& fragment : item.fragments) {
      Whole& whole = wholes[fragment.name];
      whole.shape = fragment.shape;
      whole.type = item.dtype();
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
          .copy_(item->part(*fragment).values());
    TITAN_RETURN_IF_ERROR(writer->write(flat.const_data_ptr(), flat.nbytes()));
  }
  return writer->finish().status();
}

}  // namespace titan::checkpoint
