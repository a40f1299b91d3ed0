#include "titan/io/torch_legacy.h"

#include <string>
#include <unordered_map>
#include <utility>

#include "titan/base/printable.h"
#include "titan/io/unaligned.h"

namespace titan {
namespace {

using pickle::Kind;
using pickle::Pickle;
using pickle::Value;

constexpr const char* kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";  // 10 bytes, no zero
constexpr int64_t kVersion = 1001;

/// Reads one pickle and takes it off the front.
StatusOr<Pickle> next_pickle(std::span<const std::byte>& rest) {
  TITAN_ASSIGN_OR_RETURN(Pickle pickle, pickle::parse(rest, use_in_torch_file));
  rest = rest.subspan(pickle.size_bytes);
  return pickle;
}

Status check_magic(const Pickle& pickle) {
  const Value& value = pickle[pickle.root];
  if (value.kind == Kind::kLong && value.text == kMagic) return ok_status();
  return data_loss("a pickle, but not one of torch.save (no magic number)");
}

Status check_version(const Pickle& pickle) {
  const Value& value = pickle[pickle.root];
  if (value.kind == Kind::kInt && value.number == kVersion) return ok_status();
  return data_loss("written in another version of PyTorch's old format than ", kVersion);
}

Status check_machine(const Pickle& pickle) {
  const Value& machine = pickle[pickle.root];
  if (machine.kind != Kind::kDict) return data_loss("it does not say which machine wrote it");
  for (std::size_t i = 0; i < machine.items.size(); i += 2)
    if (pickle[machine.items[i]].text == "little_endian" &&
        pickle[machine.items[i + 1]].number == 0)
      return invalid_argument("its numbers are big-endian; only little-endian files are read");
  return ok_status();
}

/// Where each storage's bytes begin. `at` is the first byte after the pickles.
StatusOr<std::unordered_map<std::string, std::uint64_t>> storage_offsets(
    std::span<const std::byte> file, std::uint64_t at, const Pickle& keys,
    const std::vector<TorchStorage>& storages) {
  std::unordered_map<std::string, const TorchStorage*> by_key;
  for (const TorchStorage& storage : storages) by_key.emplace(storage.key, &storage);
  std::unordered_map<std::string, std::uint64_t> offsets;
  if (keys[keys.root].kind != Kind::kList) return data_loss("it does not list its storages");
  for (const pickle::Ref ref : keys[keys.root].items) {
    const std::string& key = keys[ref].text;
    const auto found = by_key.find(key);
    if (found == by_key.end())
      return data_loss("it lists a storage that nothing uses (", printable(key), ")");
    const TorchStorage& storage = *found->second;
    const std::uint64_t element = storage.type ? element_size(*storage.type) : 1;
    if (file.size() - at < 8) return data_loss("it is cut short before its storages end");
    const auto count = load_unaligned<std::uint64_t>(file.data() + at);
    at += 8;
    if (count != storage.count)
      return data_loss("its storage ", printable(key), " has ", count, " elements instead of ",
                       storage.count);
    if (count > (file.size() - at) / element)
      return data_loss("it is cut short in its storage ", printable(key));
    if (!offsets.emplace(key, at).second)
      return data_loss("it lists a storage twice (", printable(key), ")");
    at += count * element;
  }
  return offsets;
}

}  // namespace

bool looks_like_legacy_torch(std::span<const std::byte> bytes) {
  if (bytes.size() < 8 || bytes[0] != std::byte{0x80}) return false;
  const auto protocol = std::to_integer<int>(bytes[1]);
  // A safetensors file begins with its header's length, which the format limits to this.
  constexpr std::uint64_t kMostHeaderBytes = 100'000'000;
  return protocol >= 2 && protocol <= 5 &&
         load_unaligned<std::uint64_t>(bytes.data()) > kMostHeaderBytes;
}

StatusOr<std::vector<TorchEntry>> read_legacy_torch(std::span<const std::byte> bytes) {
  std::span<const std::byte> rest = bytes;
  TITAN_ASSIGN_OR_RETURN(const Pickle magic, next_pickle(rest));
  TITAN_RETURN_IF_ERROR(check_magic(magic));
  TITAN_ASSIGN_OR_RETURN(const Pickle version, next_pickle(rest));
  TITAN_RETURN_IF_ERROR(check_version(version));
  TITAN_ASSIGN_OR_RETURN(const Pickle machine, next_pickle(rest));
  TITAN_RETURN_IF_ERROR(check_machine(machine));
  TITAN_ASSIGN_OR_RETURN(const Pickle object, next_pickle(rest));
  TITAN_ASSIGN_OR_RETURN(const Pickle keys, next_pickle(rest));
  TITAN_ASSIGN_OR_RETURN(std::vector<TorchTensor> tensors, tensors_of_pickle(object));
  TITAN_ASSIGN_OR_RETURN(const std::vector<TorchStorage> storages, storages_of_pickle(object));
  TITAN_ASSIGN_OR_RETURN(const auto offsets,
                         storage_offsets(bytes, bytes.size() - rest.size(), keys, storages));
  std::vector<TorchEntry> entries;
  for (TorchTensor& tensor : tensors) {
    const auto found = offsets.find(tensor.storage.key);
    if (found == offsets.end())
      return data_loss("tensor ", printable(tensor.name), ": its storage is not in the file");
    const std::uint64_t offset =
        found->second + (tensor.storage.view_offset + tensor.first) * element_size(tensor.type);
    entries.push_back({.tensor = std::move(tensor), .offset = offset});
  }
  return entries;
}

}  // namespace titan
