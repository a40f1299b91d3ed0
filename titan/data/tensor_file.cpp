#include "titan/data/tensor_file.h"

#include <array>
#include <utility>

#include <ATen/ATen.h>

namespace titan {
namespace {

constexpr std::array<std::pair<TensorType, at::ScalarType>, 15> kTypes = {{
    {TensorType::kF64, at::kDouble},
    {TensorType::kF32, at::kFloat},
    {TensorType::kF16, at::kHalf},
    {TensorType::kBF16, at::kBFloat16},
    {TensorType::kI64, at::kLong},
    {TensorType::kI32, at::kInt},
    {TensorType::kI16, at::kShort},
    {TensorType::kI8, at::kChar},
    {TensorType::kU64, at::kUInt64},
    {TensorType::kU32, at::kUInt32},
    {TensorType::kU16, at::kUInt16},
    {TensorType::kU8, at::kByte},
    {TensorType::kBool, at::kBool},
    {TensorType::kF8E4M3, at::kFloat8_e4m3fn},
    {TensorType::kF8E5M2, at::kFloat8_e5m2},
}};

}  // namespace

at::ScalarType scalar_type_of(TensorType type) {
  for (const auto& [ours, torchs] : kTypes)
    if (ours == type) return torchs;
  throw Error("[tensor_file] a type without a torch counterpart");
}

TensorType tensor_type_of(at::ScalarType type) {
  for (const auto& [ours, torchs] : kTypes)
    if (torchs == type) return ours;
  throw Error(str_cat("[tensor_file] safetensors has no such type (", c10::toString(type), ")"));
}

StatusOr<TensorFile> TensorFile::open(const std::string& path, MappedFile::Access access) {
  TITAN_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::open(path, access));
  return TensorFile(std::make_shared<const SafetensorsFile>(std::move(file)));
}

StatusOr<at::Tensor> TensorFile::view(const std::string& name) const {
  const TensorEntry* entry = file_->find(name);
  if (entry == nullptr) return not_found("[safetensors] ", path(), " has no tensor '", name, "'");
  return view(*entry);
}

at::Tensor TensorFile::view(const TensorEntry& entry) const {
  const auto options = at::TensorOptions().dtype(scalar_type_of(entry.type));
  if (entry.size_bytes == 0) return at::empty(entry.shape, options);
  // from_blob wants a mutable pointer; the pages are mapped read-only.
  void* data = const_cast<std::byte*>(entry.data);
  if (reinterpret_cast<std::uintptr_t>(data) % element_size(entry.type) != 0) {
    at::Tensor copy = at::empty(entry.shape, options);
    std::memcpy(copy.mutable_data_ptr(), data, entry.size_bytes);
    return copy;
  }
  return at::from_blob(
      data, entry.shape, [keep = file_](void*) {}, options);
}

StatusOr<std::string> write_tensor_file(
    const std::string& path, const std::vector<std::pair<std::string, at::Tensor>>& tensors,
    const std::map<std::string, std::string>& metadata) {
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors)
    specs.push_back({name, tensor_type_of(tensor.scalar_type()), tensor.sizes().vec()});
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<SafetensorsWriter> writer,
                         SafetensorsWriter::create(path, specs, metadata));
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor host = tensor.detach().cpu().contiguous();
    TITAN_RETURN_IF_ERROR(writer->write(host.const_data_ptr(), host.nbytes()));
  }
  return writer->finish();
}

}  // namespace titan
