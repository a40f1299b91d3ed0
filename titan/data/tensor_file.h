// tensor_file.h: safetensors files as tensors (titan/io knows no torch).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/base/status.h"
#include "titan/io/safetensors.h"

namespace titan {

at::ScalarType scalar_type_of(TensorType type);
/// Throws titan::Error for types that safetensors has no name for (complex, quantised).
TensorType tensor_type_of(at::ScalarType type);

/// A mapped file whose tensors are views: no byte is read before it is used, and a view keeps the
/// mapping alive.
class TensorFile {
 public:
  static StatusOr<TensorFile> open(const std::string& path,
                                   MappedFile::Access access = MappedFile::Access::kNormal);

  const std::vector<TensorEntry>& entries() const { return file_->entries(); }
  const std::map<std::string, std::string>& metadata() const { return file_->metadata(); }
  const std::string& path() const { return file_->file().path(); }
  bool contains(const std::string& name) const { return file_->find(name) != nullptr; }

  /// CPU tensor over the mapping; never write to it (the pages are read-only: SIGSEGV). A tensor
  /// that does not lie on a multiple of its element size is copied. An absent name is kNotFound.
  StatusOr<at::Tensor> view(const std::string& name) const;
  at::Tensor view(const TensorEntry& entry) const;

 private:
  explicit TensorFile(std::shared_ptr<const SafetensorsFile> file) : file_(std::move(file)) {}
  std::shared_ptr<const SafetensorsFile> file_;
};

/// Writes named CPU tensors (made contiguous one at a time) in the order given. Returns the file's
/// XXH3-128.
StatusOr<std::string> write_tensor_file(
    const std::string& path, const std::vector<std::pair<std::string, at::Tensor>>& tensors,
    const std::map<std::string, std::string>& metadata = {});

}  // namespace titan
