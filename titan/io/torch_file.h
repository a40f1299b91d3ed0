// torch_file.h: files that torch.save wrote (pytorch_model.bin, .pt, .pth): the zip archive of
// PyTorch 1.6 and later, whose tensors are read where they lie, and the stream of pickles before
// it. The pickle inside is read as data (pickle.h): no code of the file is ever run. No torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/mapped_file.h"
#include "titan/io/safetensors.h"
#include "titan/io/torch_state.h"

namespace titan {

/// A tensor and where its storage's bytes lie in the file (not aligned to anything).
struct TorchEntry {
  TorchTensor tensor;
  std::uint64_t offset = 0;  ///< of element 0

  TensorSpec spec() const { return {tensor.name, tensor.type, tensor.shape}; }
};

/// Finds the tensors of a whole file's bytes; everything is checked before it is believed. Errors
/// as of TorchFile::open, without the path.
StatusOr<std::vector<TorchEntry>> read_torch_entries(std::span<const std::byte> bytes);

/// Copies elements [first, first + count) of a tensor in such bytes, counted row-major, whatever
/// the strides.
void read_torch_elements(std::span<const std::byte> bytes, const TorchEntry& entry,
                         std::uint64_t first, std::uint64_t count, void* out);

/// Whether the bytes begin as a file of torch.save does.
bool looks_like_torch_file(std::span<const std::byte> bytes);

class TorchFile {
 public:
  /// Errors: kInvalidArgument for a file that asks for anything but tensors (it names what; nothing
  /// was run), a TorchScript archive, a big-endian file, compressed members; kDataLoss for damage.
  static StatusOr<TorchFile> open(const std::string& path);

  /// In the order of the state dict.
  const std::vector<TorchEntry>& entries() const { return entries_; }
  /// nullptr where the file has no such tensor.
  const TorchEntry* find(const std::string& name) const;
  const std::string& path() const { return file_.path(); }

  /// See read_torch_elements. Pages that were read in one piece do not stay in the process' memory.
  void read(const TorchEntry& entry, std::uint64_t first, std::uint64_t count, void* out) const;

 private:
  MappedFile file_;
  std::vector<TorchEntry> entries_;
  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace titan
