// safetensors_set.h: one safetensors file, or several with an index, read as one. No torch.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/safetensors.h"

namespace titan {

class SafetensorsSet {
 public:
  /// `path` is a safetensors file, an index (*.safetensors.index.json), or a folder that holds one
  /// index or one file (a diffusers pipeline: in its folder "transformer"). Every header is
  /// checked (SafetensorsFile::open); index and files must agree about every tensor. Errors name
  /// all files that are missing and the tensors that are not where the index says.
  static StatusOr<SafetensorsSet> open(const std::string& path);

  /// All tensors: file by file, in the order of their places.
  std::vector<TensorSpec> tensors() const;
  /// nullptr where there is no such tensor.
  const TensorEntry* find(const std::string& name) const;
  /// Takes the pages of part of a tensor out of memory (MappedFile::release).
  void release(const TensorEntry& entry, std::size_t first_byte, std::size_t size_bytes) const;
  /// The file or index that was opened.
  const std::string& path() const { return path_; }

 private:
  Status open_shards(const std::string& index_path);

  std::string path_;
  std::vector<SafetensorsFile> files_;
  std::unordered_map<std::string, std::size_t> file_of_;  ///< by tensor
};

}  // namespace titan
