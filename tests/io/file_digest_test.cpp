#include "tests/support/catch.h"

#include "titan/io/file_digest.h"

#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("Digests of a file are those of Python's hashlib and xxhash", "[io]") {
  const testing::TemporaryFolder folder;
  const std::string path = folder.write("abc", "abc");
  // python3 -c 'import hashlib; print(hashlib.new(NAME, b"abc").hexdigest())', and xxhash's.
  const std::vector<FileDigest> right = {
      {"md5", "900150983cd24fb0d6963f7d28e17f72"},
      {"sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"},
      {"sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
      {"sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"sha3_256", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
      {"blake2s", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"},
      {"blake2b",
       "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de45"
       "33cc9518d38aa8dbf1925ab92386edd4009923"},
      {"xxh32", "32d153ff"},
      {"xxh64", "44bc2cf5ad770999"},
      {"xxh3_64", "78af5f94892f3950"},
      {"xxh3_128", "06b05ab6733a618578af5f94892f3950"},
      {"xxh128", "06b05ab6733a618578af5f94892f3950"}};
  for (const FileDigest& digest : right) {
    INFO(digest.algorithm);
    CHECK(is_known_digest(digest.algorithm));
    CHECK(message_of(check_digests(path, {digest})) == "");
    const Status wrong = check_digests(path, {{digest.algorithm, "00"}});
    CHECK(wrong.code() == absl::StatusCode::kFailedPrecondition);
    CHECK_THAT(message_of(wrong),
               Contains(str_cat("its ", digest.algorithm, " is ", digest.hex, ", not 00")));
  }
  CHECK(check_digests(path, right).ok());
  CHECK_FALSE(is_known_digest("crc32"));
  CHECK_FALSE(is_known_digest("sha3_"));
  CHECK(check_digests(path, {{"crc32", "00"}}).ok());  // nobody here can tell
  CHECK(check_digests(folder.write("empty", ""),
                      {{"xxh64", "ef46db3751d8e999"}, {"md5", "d41d8cd98f00b204e9800998ecf8427e"}})
            .ok());
  CHECK_FALSE(check_digests(folder.file("absent"), {{"md5", "00"}}).ok());
}

}  // namespace
}  // namespace titan
