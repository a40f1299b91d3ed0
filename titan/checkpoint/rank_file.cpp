#include "titan/checkpoint/rank_file.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "titan/data/tensor_file.h"
#include "titan/io/safetensors_header.h"
#include "titan/parallel/device_services.h"

namespace titan::checkpoint {
namespace {

struct Part {
  TensorSpec spec;
  parallel::FlatValues tensor;
};

std::vector<Part> parts_of(const std::vector<CheckpointItem>& items, CheckpointIndex& index,
                           const std::string& file) {
  std::vector<Part> parts;
  for (const CheckpointItem& item : items) {
    const TensorType type = tensor_type_of(item.dtype());
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
      parts.push_back({{name, type, {fragment.length}}, item.part(fragment)});
    }
  }
  std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return element_size(a.spec.type) > element_size(b.spec.type);
  });
  return parts;
}

/// Pairs are put together as the writer asks for them.
FilePiece pieces_of_pairs(const parallel::FlatValues& pairs) {
  return {static_cast<std::uint64_t>(pairs.nbytes()), nullptr,
          [pairs](std::uint64_t offset, std::size_t size, std::byte* out) {
            constexpr std::uint64_t kElement = sizeof(float);
            const std::uint64_t first = offset / kElement;
            const std::uint64_t end = (offset + size + kElement - 1) / kElement;
            const at::Tensor values =
                pairs.narrow(static_cast<int64_t>(first), static_cast<int64_t>(end - first))
                    .values()
                    .to(at::kCPU);
            std::memcpy(out,
                        static_cast<const std::byte*>(values.const_data_ptr()) + offset % kElement,
                        size);
          }};
}

FilePiece piece_of(const parallel::FlatValues& part) {
  if (part.remainder.defined()) return pieces_of_pairs(part);
  const at::Tensor& tensor = part.stored;
  const auto bytes = static_cast<std::uint64_t>(tensor.nbytes());
  if (tensor.is_cpu()) return {bytes, static_cast<const std::byte*>(tensor.const_data_ptr())};
  // The writer asks in order, a quarter megabyte at a time: not always whole elements.
  const at::Tensor raw = tensor.view(at::kByte);
  return {bytes, nullptr, [raw](std::uint64_t offset, std::size_t size, std::byte* out) {
            const at::NoGradGuard no_grad;
            const auto count = static_cast<int64_t>(size);
            at::from_blob(out, {count}, at::kByte)
                .copy_(raw.narrow(0, static_cast<int64_t>(offset), count));
          }};
}

}  // namespace

void RankFile::await_device() const {
  for (const parallel::FlatValues& tensor : tensors) {
    if (tensor.is_cpu()) continue;
    if (auto* services = parallel::device_services())
      services->synchronize(tensor.stored.device().index());
    return;  // all lie on this rank's device
  }
}

std::vector<FilePiece> RankFile::pieces() const {
  std::vector<FilePiece> pieces = {
      {header->size(), reinterpret_cast<const std::byte*>(header->data())}};
  for (const parallel::FlatValues& tensor : tensors)
    if (tensor.numel() > 0) pieces.push_back(piece_of(tensor));
  return pieces;
}

StatusOr<RankFile> plan_rank_file(const std::string& name,
                                  const std::vector<CheckpointItem>& items) {
  RankFile file;
  file.name = name;
  std::vector<TensorSpec> specs;
  for (Part& part : parts_of(items, file.index, name)) {
    specs.push_back(std::move(part.spec));
    file.tensors.push_back(std::move(part.tensor));
  }
  if (file.empty()) return file;
  std::uint64_t data_bytes = 0;
  TITAN_ASSIGN_OR_RETURN(std::string header, render_safetensors_header(specs, {}, &data_bytes));
  file.size_bytes = header.size() + data_bytes;
  file.header = std::make_shared<const std::string>(std::move(header));
  return file;
}

}  // namespace titan::checkpoint
