#include "titan/data/dataset.h"

namespace titan {

std::size_t FieldLayout::size_bytes() const {
  std::size_t bytes = c10::elementSize(type);
  for (const int64_t size : sizes) bytes *= static_cast<std::size_t>(size);
  return bytes;
}

Status Dataset::read_to(int64_t index, const DrawKey& /*key*/,
                        const std::vector<std::byte*>& /*places*/) const {
  TITAN_CHECK(false, "[data] a data set without a layout cannot read in place (", describe(index),
              ")");
}

}  // namespace titan
