// Archives made to harm: nothing is written outside the cache folder, nothing is run, nothing fills
// the disk.
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zstd.h>

#include <filesystem>

#include "titan/io/image_decode.h"
#include "titan/io/remote/s3.h"
#include "titan/io/tar_index.h"

#include "tests/support/catch.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temporary_folder.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using testing::TarBuilder;
using testing::TemporaryFolder;

std::string zstd_of(const std::string& bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 19));
  return out;
}

/// Sets an environment variable and puts it back.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    const char* old = ::getenv(name);
    if (old != nullptr) old_ = old;
    ::setenv(name, value.c_str(), 1);
  }
  ~Environment() { old_.empty() ? ::unsetenv(name_) : ::setenv(name_, old_.c_str(), 1); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::string old_;
};

TEST_CASE("Members of a tar that name places outside are samples like others; nothing is unpacked",
          "[io]") {
  const TemporaryFolder folder;
  const Environment cache("TITAN_CACHE", folder.file("deep/cache"));
  const std::string bytes = TarBuilder()
                                .add("../../escaped.txt", "one")
                                .add("/tmp/titan-escaped.txt", "two")
                                .pax("path=../../../escaped.jpg")
                                .add("x", "three")
                                .finished();
  for (const std::string& tar : {bytes, zstd_of(bytes)}) {
    const TarIndex index = *TarIndex::open(folder.write("deep/a/t.tar", tar));
    REQUIRE(index.num_samples() == 3);
    CHECK(index.sample(0).key == "../../escaped");
    CHECK(index.sample(1).key == "/tmp/titan-escaped");
  }
  CHECK_FALSE(fs::exists("/tmp/titan-escaped.txt"));
  // The tar, its index, and the cache with the unpacked tar: nothing else.
  for (const fs::path& entry : fs::recursive_directory_iterator(folder.path()))
    CHECK(entry.filename().string().find("escaped") == std::string::npos);
}

TEST_CASE("A compressed tar runs no program, whatever it says that it is", "[io]") {
  const TemporaryFolder folder;
  const Environment cache("TITAN_CACHE", folder.file("cache"));
  // Programs that libarchive would run for what is inside the outer stream.
  for (const char* name : {"lrzip", "lzop", "grzip", "lz4", "uncompress"}) {
    const std::string program = folder.write(std::string("bin/") + name,
                                             "#!/bin/sh\ntouch " + folder.file("was-run") + "\n");
    ::chmod(program.c_str(), 0755);
  }
  const Environment path("PATH", folder.file("bin") + ":/usr/bin:/bin");
  const std::string inner[] = {std::string("LRZI\0\6", 6), std::string("GRZipII\0\2\4:)", 12),
                               std::string("\x89LZO\0\r\n\x1a\n", 9)};
  for (const std::string& magic : inner)
    (void)TarIndex::open(folder.write("t.tar", zstd_of(magic + std::string(4096, 'x'))));
  CHECK_FALSE(fs::exists(folder.file("was-run")));
}

TEST_CASE("A compressed tar that would fill the disk is refused", "[io]") {
  const TemporaryFolder folder;
  const Environment cache("TITAN_CACHE", folder.file("cache"));
  const std::string zeros = zstd_of(std::string(80 << 20, '\0'));
  REQUIRE(zeros.size() < 100'000);
  const Status status = TarIndex::open(folder.write("t.tar", zeros)).status();
  CHECK(status.code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(message_of(status), Contains("t.tar unpacks to more than"));
  // In each other: the outer one is small, too.
  const Status twice = TarIndex::open(folder.write("u.tar", zstd_of(zeros))).status();
  CHECK_THAT(message_of(twice), Contains("u.tar unpacks to more than"));
  for (const fs::path& entry : fs::recursive_directory_iterator(folder.file("cache")))
    CHECK((fs::is_directory(entry) || fs::file_size(entry) < 1000));
}

TEST_CASE("A WebP of impossible sides is refused from its header", "[io]") {
  // VP8L: 14 bits of width less one, 14 of height less one, no pixels that deserve the name.
  const std::string bytes =
      std::string("RIFF\x24\0\0\0WEBPVP8L\x18\0\0\0\x2f\xff\xff\xff\x0f", 25) +
      std::string(19, '\0');
  DecodeLimits limits;
  limits.max_pixels = 1 << 20;
  const auto image =
      decode_image({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, limits);
  CHECK_THAT(message_of(image.status()),
             Contains("decompression bomb") && Contains("16384 x 16384"));
}

TEST_CASE("A listing whose entities multiply is refused", "[io]") {
  std::string xml = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY e0 \"laughter\">";
  for (int i = 1; i < 12; ++i) {
    xml += "<!ENTITY e" + std::to_string(i) + " \"";
    for (int k = 0; k < 10; ++k) xml += "&e" + std::to_string(i - 1) + ";";
    xml += "\">";
  }
  xml += "]><ListBucketResult><Contents><Key>&e11;</Key></Contents></ListBucketResult>";
  const auto page = parse_s3_page(xml, "bucket");
  REQUIRE_FALSE(page.ok());
  CHECK(page.status().code() == absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace titan
