// torch_set.h: one file of torch.save, or several with an index, read as one. No torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/torch_file.h"

namespace titan {

class TorchSet {
 public:
  /// `path` is a file or an index (*.bin.index.json). Errors as of TorchFile::open, and where index
  /// and files do not agree about every tensor.
  static StatusOr<TorchSet> open(const std::string& path);

  /// All tensors: file by file, in the order of their state dicts.
  std::vector<TensorSpec> tensors() const;
  /// Copies elements [first, first + count) of a tensor, counted row-major. Throws titan::Error for
  /// a name or a range that is not there.
  void read(const std::string& name, std::uint64_t first, std::uint64_t count, void* out) const;
  /// The file or index that was opened.
  const std::string& path() const { return path_; }

 private:
  Status open_shards();

  std::string path_;
  std::vector<TorchFile> files_;
  std::unordered_map<std::string, std::size_t> file_of_;  ///< by tensor
};

}  // namespace titan
