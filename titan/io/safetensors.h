// safetensors.h: the safetensors file format (https://github.com/huggingface/safetensors): 8 bytes
// of header length, a JSON header {name: {dtype, shape, data_offsets}}, then the tensors' bytes
// without gaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "titan/base/hash.h"
#include "titan/base/status.h"
#include "titan/io/atomic_file.h"
#include "titan/io/mapped_file.h"

namespace titan {

/// Element types of the format, little-endian.
enum class TensorType : std::uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool,
  kF8E4M3,
  kF8E5M2,
};
/// The format's own name: "F32", "F8_E4M3".
std::string name_of(TensorType type);
/// Inverse of name_of; an unknown name is an error.
StatusOr<TensorType> tensor_type_from_name(const std::string& name);
/// Bytes of one element.
std::size_t element_size(TensorType type);

/// What a tensor is, before it has a place.
struct TensorSpec {
  std::string name;                    ///< in the file
  TensorType type = TensorType::kF32;  ///< of the elements
  std::vector<int64_t> shape = {};     ///< row-major
};

/// A tensor in a mapped file.
struct TensorEntry {
  std::string name;                    ///< in the file
  TensorType type = TensorType::kF32;  ///< of the elements
  std::vector<int64_t> shape = {};     ///< row-major
  std::uint64_t offset = 0;            ///< of its first byte in the file
  std::uint64_t size_bytes = 0;        ///< of the tensor
  const std::byte* data = nullptr;     ///< valid as long as the SafetensorsFile; may be unaligned
};

/// A file opened for reading. The header is checked completely before anything else is believed:
/// length, JSON depth and fields, types, shape overflow, duplicate names, offsets that leave the
/// file, overlap or leave gaps. Tensors are views of the mapping: opening reads the header only.
class SafetensorsFile {
 public:
  /// Maps the file and checks its header; damage is kDataLoss.
  static StatusOr<SafetensorsFile> open(const std::string& path,
                                        MappedFile::Access access = MappedFile::Access::kNormal);

  /// In order of their place in the file.
  const std::vector<TensorEntry>& entries() const { return entries_; }
  /// nullptr where the file has no such tensor.
  const TensorEntry* find(const std::string& name) const;
  /// The header's "__metadata__".
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const MappedFile& file() const { return file_; }  ///< what the entries point into

 private:
  MappedFile file_;
  std::vector<TensorEntry> entries_;
  std::unordered_map<std::string, std::size_t> index_;
  std::map<std::string, std::string> metadata_;
};

/// Writes a file whose tensors are known up front and whose bytes come in pieces, in the order of
/// the specs (largest element size first keeps every tensor aligned). Atomic and durable
/// (atomic_file.h).
class SafetensorsWriter {
 public:
  /// Writes the header. An error for duplicate or reserved names and for sizes that overflow.
  static StatusOr<std::unique_ptr<SafetensorsWriter>> create(
      const std::string& path, const std::vector<TensorSpec>& specs,
      const std::map<std::string, std::string>& metadata = {});

  /// Appends tensor bytes; pieces need not end where tensors end.
  Status write(const void* data, std::size_t size_bytes);

  /// An error if bytes are missing. Commits; returns the XXH3-128 of the whole file, 32 hex digits.
  StatusOr<std::string> finish();

  /// Bytes still to be written.
  std::uint64_t remaining_bytes() const { return remaining_; }

 private:
  explicit SafetensorsWriter(AtomicFile file) : file_(std::move(file)) {}

  AtomicFile file_;
  Xxh3Stream hash_;
  std::uint64_t remaining_ = 0;
};

}  // namespace titan
