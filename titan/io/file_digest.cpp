#include "titan/io/file_digest.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "titan/io/mapped_file.h"

namespace titan {
namespace {

std::string hex_of(std::span<const unsigned char> bytes) {
  static const char* const digits = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : bytes) hex += {digits[byte >> 4], digits[byte & 15]};
  return hex;
}

std::string hex64(XXH64_hash_t hash) {
  XXH64_canonical_t canonical;
  XXH64_canonicalFromHash(&canonical, hash);
  return hex_of(canonical.digest);
}

/// libcrypto's name of what hashlib calls `algorithm`; empty where it has none.
std::string crypto_name(const std::string& algorithm) {
  constexpr std::array kPlain = {"md5", "sha1", "sha224", "sha256", "sha384", "sha512"};
  if (std::find(kPlain.begin(), kPlain.end(), algorithm) != kPlain.end()) return algorithm;
  if (algorithm == "blake2b") return "blake2b512";
  if (algorithm == "blake2s") return "blake2s256";
  for (const char* bits : {"224", "256", "384", "512"})
    if (algorithm == std::string("sha3_") + bits) return std::string("sha3-") + bits;
  return "";
}

/// nullopt where the machine cannot compute it.
std::optional<std::string> digest_of(std::span<const std::byte> bytes,
                                     const std::string& algorithm) {
  if (algorithm == "xxh64") return hex64(XXH64(bytes.data(), bytes.size(), 0));
  if (algorithm == "xxh3_64") return hex64(XXH3_64bits(bytes.data(), bytes.size()));
  if (algorithm == "xxh32") {
    XXH32_canonical_t canonical;
    XXH32_canonicalFromHash(&canonical, XXH32(bytes.data(), bytes.size(), 0));
    return hex_of(canonical.digest);
  }
  if (algorithm == "xxh128" || algorithm == "xxh3_128") {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
    return hex_of(canonical.digest);
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned int size = 0;
  const EVP_MD* const kind = EVP_get_digestbyname(crypto_name(algorithm).c_str());
  // A machine in FIPS mode has no md5.
  if (kind == nullptr ||
      EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, kind, nullptr) != 1)
    return std::nullopt;
  return hex_of(std::span(out).first(size));
}

}  // namespace

bool is_known_digest(const std::string& algorithm) {
  constexpr std::array kXxh = {"xxh32", "xxh64", "xxh3_64", "xxh128", "xxh3_128"};
  return std::find(kXxh.begin(), kXxh.end(), algorithm) != kXxh.end() ||
         !crypto_name(algorithm).empty();
}

Status check_digests(const std::string& path, const std::vector<FileDigest>& digests) {
  std::optional<MappedFile> file;
  for (const FileDigest& digest : digests) {
    if (!is_known_digest(digest.algorithm)) continue;
    if (!file) {
      TITAN_ASSIGN_OR_RETURN(file, MappedFile::open(path, MappedFile::Access::kSequential));
      TITAN_RETURN_IF_ERROR(file->populate(0, file->size()));
    }
    const std::optional<std::string> found = digest_of(file->bytes(), digest.algorithm);
    if (found && *found != digest.hex)
      return failed_precondition("its ", digest.algorithm, " is ", *found, ", not ", digest.hex);
  }
  return ok_status();
}

}  // namespace titan
