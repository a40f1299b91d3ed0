#include "titan/checkpoint/fragment_files.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <utility>

#include "titan/data/tensor_file.h"

namespace titan::checkpoint {
namespace {

constexpr std::uint64_t kAlignment = 16;                        // of a piece in host memory
constexpr std::uint64_t kHostBytes = std::uint64_t{256} << 20;  // on their way to another device

/// Bytes before the first tensor.
std::uint64_t header_end(const SafetensorsFile& file) {
  return file.entries().empty() ? file.file().size() : file.entries().front().offset;
}

std::uint64_t host_bytes(const FileRange& range) {
  return (range.size_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

StatusOr<FragmentFiles::File*> FragmentFiles::open(const std::string& name) {
  const auto found = files_.find(name);
  if (found != files_.end()) return &found->second;
  const std::string path = path_of(name);
  const StoredFile& stored = index_.files.at(name);
  TITAN_RETURN_IF_ERROR(check_size(path, stored));
  // A file without blocks is verified as a whole when it is read: its header, too, is then right.
  if (stored.block_bytes > 0) TITAN_RETURN_IF_ERROR(verify_head(path, stored, 8));
  TITAN_ASSIGN_OR_RETURN(SafetensorsFile header, SafetensorsFile::open(path));
  if (stored.block_bytes > 0 && header_end(header) > stored.block_bytes)
    TITAN_RETURN_IF_ERROR(verify_head(path, stored, header_end(header)));
  return &files_.emplace(name, File{std::move(header), {}}).first->second;
}

Status FragmentFiles::add(const FragmentPiece& piece, const StoredTensor& tensor,
                          const parallel::FlatValues& target) {
  if (piece.length == 0) return ok_status();
  const std::string& name = piece.source->file;
  TITAN_ASSIGN_OR_RETURN(File* const file, open(name));
  const TensorEntry* entry = file->header.find(piece.source->tensor);
  TITAN_ASSIGN_OR_RETURN(const TensorType type, tensor_type_from_name(tensor.dtype));
  const std::size_t size = element_size(type);
  if (entry == nullptr || entry->type != type ||
      entry->size_bytes != static_cast<std::uint64_t>(piece.source->length) * size)
    return data_loss("[checkpoint] ", path_of(name), " does not hold what index.json says (",
                     piece.source->tensor, ")");
  const parallel::FlatValues part = target.narrow(piece.target_offset, piece.length);
  FileRange range{entry->offset + static_cast<std::uint64_t>(piece.source_offset) * size,
                  static_cast<std::uint64_t>(piece.length) * size, nullptr};
  const at::ScalarType stored = scalar_type_of(type);
  if (!part.is_cpu() || part.stored.scalar_type() != stored) {
    copies_.push_back({name, range, stored, part});
    return ok_status();
  }
  range.out = static_cast<std::byte*>(part.stored.mutable_data_ptr());
  file->ranges.push_back(range);
  return ok_status();
}

Status FragmentFiles::read_to_devices() {
  for (std::size_t begin = 0, end = 0; begin < copies_.size(); begin = end) {
    std::uint64_t bytes = 0;
    while (end < copies_.size() && copies_[end].file == copies_[begin].file &&
           (end == begin || bytes + host_bytes(copies_[end].range) <= kHostBytes))
      bytes += host_bytes(copies_[end++].range);
    const at::Tensor host = at::empty({static_cast<int64_t>(bytes)}, at::kByte);
    auto* out = static_cast<std::byte*>(host.mutable_data_ptr());
    std::vector<FileRange> ranges;
    for (std::size_t i = begin; i < end; ++i) {
      copies_[i].range.out = out;
      out += host_bytes(copies_[i].range);
      ranges.push_back(copies_[i].range);
    }
    const std::string& name = copies_[begin].file;
    TITAN_RETURN_IF_ERROR(read_ranges(path_of(name), index_.files.at(name), std::move(ranges),
                                      options_.threads, options_.verify));
    for (std::size_t i = begin; i < end; ++i)
      copies_[i].target.assign(at::from_blob(copies_[i].range.out, {copies_[i].target.numel()},
                                             at::TensorOptions().dtype(copies_[i].type)));
  }
  return ok_status();
}

Status FragmentFiles::read() {
  for (auto& [name, file] : files_) {
    if (file.ranges.empty()) continue;
    TITAN_RETURN_IF_ERROR(read_ranges(path_of(name), index_.files.at(name), std::move(file.ranges),
                                      options_.threads, options_.verify));
  }
  std::stable_sort(copies_.begin(), copies_.end(), [](const DeviceCopy& a, const DeviceCopy& b) {
    return std::pair(a.file, a.range.offset) < std::pair(b.file, b.range.offset);
  });
  return read_to_devices();
}

}  // namespace titan::checkpoint
