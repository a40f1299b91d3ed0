// A file of torch.save: the zip archive or the legacy stream, its pickle, and the tensors' values.
#include <algorithm>
#include <vector>

#include "tests/fuzz/fuzz_target.h"
#include "titan/io/torch_file.h"

TITAN_FUZZ_INPUT(torch_file) {
  using namespace titan;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  (void)looks_like_torch_file(bytes);
  const StatusOr<std::vector<TorchEntry>> entries = read_torch_entries(bytes);
  if (!entries.ok()) return 0;
  for (const TorchEntry& entry : *entries) {
    const std::uint64_t count = std::min<std::uint64_t>(entry.tensor.count, 4096);
    std::vector<std::byte> out(count * element_size(entry.tensor.type));
    read_torch_elements(bytes, entry, 0, count, out.data());
    if (entry.tensor.count > count)
      read_torch_elements(bytes, entry, entry.tensor.count - count, count, out.data());
  }
  return 0;
}
