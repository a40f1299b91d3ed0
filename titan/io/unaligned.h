// unaligned.h: numbers at any address of a mapped file.
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>

namespace titan {

static_assert(std::endian::native == std::endian::little, "files are read in place");

template <class T>
T load_unaligned(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace titan
