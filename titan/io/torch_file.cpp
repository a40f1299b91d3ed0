#include "titan/io/torch_file.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "titan/base/printable.h"
#include "titan/io/torch_legacy.h"
#include "titan/io/unaligned.h"
#include "titan/io/zip_index.h"

namespace titan {
namespace {

constexpr const char* kPickle = "data.pkl";

/// What comes before "/data.pkl" in the names of all members.
StatusOr<std::string> archive_name(const ZipIndex& index) {
  std::vector<std::string> found;
  for (const auto& [name, member] : index) {
    const std::size_t slash = name.find('/');
    if (slash != std::string::npos && name.substr(slash + 1) == kPickle)
      found.push_back(name.substr(0, slash + 1));
  }
  if (found.size() == 1) return found.front();
  return data_loss("a zip archive, but not one of torch.save (", found.size(),
                   " members data.pkl instead of one)");
}

StatusOr<std::span<const std::byte>> bytes_of(std::span<const std::byte> file,
                                              const ZipIndex& index, const std::string& name) {
  const auto found = index.find(name);
  if (found == index.end()) return data_loss("it has no member ", printable(name));
  if (!found->second.is_stored)
    return invalid_argument("its member ", printable(name),
                            " is compressed or encrypted; torch.save stores: save it again, or "
                            "pack the archive anew with zip -0");
  return file.subspan(found->second.offset, found->second.size_bytes);
}

/// Files without a member "byteorder" are from before PyTorch 2.1: little-endian.
Status check_byte_order(std::span<const std::byte> file, const ZipIndex& index,
                        const std::string& archive) {
  if (!index.contains(archive + "byteorder")) return ok_status();
  TITAN_ASSIGN_OR_RETURN(const auto order, bytes_of(file, index, archive + "byteorder"));
  const std::string text(reinterpret_cast<const char*>(order.data()), order.size());
  if (text == "little") return ok_status();
  return invalid_argument("its numbers are ", printable(text, 20),
                          "-endian; only little-endian files are read");
}

/// The first byte of the tensor's storage, which must hold what the pickle says.
StatusOr<std::uint64_t> storage_offset(std::span<const std::byte> file, const ZipIndex& index,
                                       const std::string& archive, const TorchTensor& tensor) {
  TITAN_ASSIGN_OR_RETURN(const auto bytes,
                         bytes_of(file, index, archive + "data/" + tensor.storage.key));
  const std::size_t element = tensor.storage.type ? element_size(*tensor.storage.type) : 1;
  if (tensor.storage.count > bytes.size() / element)
    return data_loss("its storage ", printable(tensor.storage.key), " is cut short (", bytes.size(),
                     " of ", tensor.storage.count, " x ", element, " bytes)");
  return static_cast<std::uint64_t>(bytes.data() - file.data());
}

StatusOr<std::vector<TorchEntry>> read_archive(std::span<const std::byte> file) {
  TITAN_ASSIGN_OR_RETURN(const ZipIndex index, read_zip_index(file));
  TITAN_ASSIGN_OR_RETURN(const std::string archive, archive_name(index));
  if (index.contains(archive + "constants.pkl"))
    return invalid_argument(
        "a TorchScript archive, which holds a program; save the module's state_dict() instead");
  TITAN_RETURN_IF_ERROR(check_byte_order(file, index, archive));
  TITAN_ASSIGN_OR_RETURN(const auto text, bytes_of(file, index, archive + kPickle));
  TITAN_ASSIGN_OR_RETURN(const pickle::Pickle pickle, pickle::parse(text, use_in_torch_file));
  TITAN_ASSIGN_OR_RETURN(std::vector<TorchTensor> tensors, tensors_of_pickle(pickle));
  std::vector<TorchEntry> entries;
  for (TorchTensor& tensor : tensors) {
    const StatusOr<std::uint64_t> begin = storage_offset(file, index, archive, tensor);
    if (!begin.ok()) return annotate(begin.status(), "tensor " + printable(tensor.name));
    const std::uint64_t offset =
        *begin + (tensor.storage.view_offset + tensor.first) * element_size(tensor.type);
    entries.push_back({.tensor = std::move(tensor), .offset = offset});
  }
  return entries;
}

/// Copies runs of the innermost dimension, stepping through the others like an odometer.
void copy_strided(const TorchTensor& tensor, const std::byte* from, std::uint64_t first,
                  std::uint64_t count, std::byte* out) {
  const std::size_t width = element_size(tensor.type), dims = tensor.shape.size();
  std::vector<std::uint64_t> place(dims, 0);
  for (std::size_t d = dims; d-- > 0; first /= static_cast<std::uint64_t>(tensor.shape[d]))
    place[d] = first % static_cast<std::uint64_t>(tensor.shape[d]);
  const auto stride = [&](std::size_t d) { return static_cast<std::uint64_t>(tensor.strides[d]); };
  while (count > 0) {
    std::uint64_t element = 0;
    for (std::size_t d = 0; d < dims; ++d) element += place[d] * stride(d);
    const auto row = static_cast<std::uint64_t>(tensor.shape[dims - 1]) - place[dims - 1];
    const std::uint64_t run = std::min(count, row);
    if (stride(dims - 1) == 1) {
      std::memcpy(out, from + element * width, run * width);
    } else {
      for (std::uint64_t i = 0; i < run; ++i)
        std::memcpy(out + i * width, from + (element + i * stride(dims - 1)) * width, width);
    }
    out += run * width;
    count -= run;
    place[dims - 1] += run;
    for (std::size_t d = dims - 1; d > 0 && place[d] == static_cast<std::uint64_t>(tensor.shape[d]);
         --d) {
      place[d] = 0;
      ++place[d - 1];
    }
  }
}

}  // namespace

bool looks_like_torch_file(std::span<const std::byte> bytes) {
  return looks_like_zip(bytes) || looks_like_legacy_torch(bytes);
}

StatusOr<std::vector<TorchEntry>> read_torch_entries(std::span<const std::byte> bytes) {
  if (looks_like_zip(bytes)) return read_archive(bytes);
  if (looks_like_legacy_torch(bytes)) return read_legacy_torch(bytes);
  return data_loss("neither a zip archive nor a pickle of torch.save");
}

StatusOr<TorchFile> TorchFile::open(const std::string& path) {
  TorchFile result;
  TITAN_ASSIGN_OR_RETURN(result.file_, MappedFile::open(path));
  StatusOr<std::vector<TorchEntry>> entries = read_torch_entries(result.file_.bytes());
  if (!entries.ok()) return annotate(entries.status(), "[pickle] " + path);
  result.entries_ = std::move(*entries);
  for (std::size_t i = 0; i < result.entries_.size(); ++i)
    result.index_.emplace(result.entries_[i].tensor.name, i);
  return result;
}

const TorchEntry* TorchFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

void read_torch_elements(std::span<const std::byte> bytes, const TorchEntry& entry,
                         std::uint64_t first, std::uint64_t count, void* out) {
  const TorchTensor& tensor = entry.tensor;
  TITAN_CHECK(first <= tensor.count && count <= tensor.count - first, "[pickle] a range outside ",
              tensor.name);
  if (count == 0) return;
  const std::size_t width = element_size(tensor.type);
  const std::byte* from = bytes.data() + entry.offset;
  if (tensor.is_contiguous) {
    std::memcpy(out, from + first * width, count * width);
  } else {
    copy_strided(tensor, from, first, count, static_cast<std::byte*>(out));
  }
}

void TorchFile::read(const TorchEntry& entry, std::uint64_t first, std::uint64_t count,
                     void* out) const {
  read_torch_elements(file_.bytes(), entry, first, count, out);
  if (!entry.tensor.is_contiguous) return;
  const std::size_t width = element_size(entry.tensor.type);
  file_.release(entry.offset + first * width, count * width);
}

}  // namespace titan
