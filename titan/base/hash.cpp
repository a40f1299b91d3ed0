#include "titan/base/hash.h"

#include <xxhash.h>

// Picks SSE2, AVX2 or AVX-512 at run time (same digests); installed only where the library has it.
#if __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#endif

#include "titan/base/check.h"

namespace titan {
namespace {

std::string to_hex(const XXH128_hash_t& hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  static const char* kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(2 * sizeof(canonical.digest));
  for (const unsigned char byte : canonical.digest) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

}  // namespace

std::uint64_t xxh3_64(const std::string& text) { return XXH3_64bits(text.data(), text.size()); }

Xxh3Stream::Xxh3Stream() : state_(XXH3_createState()) {
  TITAN_CHECK(state_ != nullptr, "[hash] out of memory");
  XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_));
}

Xxh3Stream::~Xxh3Stream() { XXH3_freeState(static_cast<XXH3_state_t*>(state_)); }

void Xxh3Stream::update(const void* data, std::size_t size_bytes) {
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state_), data, size_bytes);
}

std::string Xxh3Stream::hex() const {
  return to_hex(XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_)));
}

std::string xxh3_128_hex(const void* data, std::size_t size_bytes) {
  return to_hex(XXH3_128bits(data, size_bytes));
}

}  // namespace titan
