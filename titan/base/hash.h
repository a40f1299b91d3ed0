// hash.h: XXH3, for names (parameter keys), file checksums and fingerprints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace titan {

/// XXH3-64 of the bytes of `text`.
std::uint64_t xxh3_64(const std::string& text);

/// XXH3-128 fed piece by piece; `hex()` gives the canonical 32 hex digits.
class Xxh3Stream {
 public:
  Xxh3Stream();
  ~Xxh3Stream();
  Xxh3Stream(const Xxh3Stream&) = delete;
  Xxh3Stream& operator=(const Xxh3Stream&) = delete;
  /// Takes the next bytes.
  void update(const void* data, std::size_t size_bytes);
  std::string hex() const;  ///< of all bytes so far

 private:
  void* state_;
};

/// XXH3-128 of a block of memory, 32 hex digits.
std::string xxh3_128_hex(const void* data, std::size_t size_bytes);

}  // namespace titan
