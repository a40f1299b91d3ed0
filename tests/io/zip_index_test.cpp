#include "titan/io/zip_index.h"

#include <cstring>

#include "tests/support/catch.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;

template <class T>
std::string number(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}
std::string u16(std::uint64_t value) { return number(static_cast<std::uint16_t>(value)); }
std::string u32(std::uint64_t value) { return number(static_cast<std::uint32_t>(value)); }
std::string u64(std::uint64_t value) { return number(value); }

constexpr std::uint64_t kIn64 = 0xFFFFFFFF;

std::string local_header(const std::string& name, std::uint64_t extra_size) {
  return "PK\x03\x04" + u16(45) + u16(0) + u16(0) + u32(0) + u32(0) + u32(0) + u32(0) +
         u16(name.size()) + u16(extra_size) + name + std::string(extra_size, 'e');
}

std::string central_header(const std::string& name, std::uint64_t stored, std::uint64_t whole,
                           std::uint64_t local, const std::string& extra = "",
                           std::uint64_t method = 0) {
  return "PK\x01\x02" + u16(45) + u16(45) + u16(0) + u16(method) + u32(0) + u32(0) + u32(stored) +
         u32(whole) + u16(name.size()) + u16(extra.size()) + u16(0) + u16(0) + u16(0) + u32(0) +
         u32(local) + name + extra;
}

std::string end_record(std::uint64_t count, std::uint64_t size, std::uint64_t begin,
                       const std::string& comment = "") {
  return "PK\x05\x06" + u16(0) + u16(0) + u16(count) + u16(count) + u32(size) + u32(begin) +
         u16(comment.size()) + comment;
}

/// The records behind a directory of an archive that is too large for the plain one.
std::string end_records64(std::uint64_t count, std::uint64_t size, std::uint64_t begin) {
  const std::string end64 = "PK\x06\x06" + u64(44) + u16(45) + u16(45) + u32(0) + u32(0) +
                            u64(count) + u64(count) + u64(size) + u64(begin);
  return end64 + "PK\x06\x07" + u32(0) + u64(begin + size) + u32(1) +
         end_record(0xFFFF, kIn64, kIn64);
}

StatusOr<ZipIndex> index_of(const std::string& bytes) {
  return read_zip_index(std::as_bytes(std::span(bytes.data(), bytes.size())));
}
std::string reason(const std::string& bytes) {
  const auto index = index_of(bytes);
  return index.ok() ? "" : message_of(index.status());
}

TEST_CASE("Members are found with a comment, with extra fields and in zip64 archives", "[io]") {
  const std::string begin = local_header("a/b", 5) + "hello";
  const std::string plain = central_header("a/b", 5, 5, 0);
  const std::string extra =
      u16(0x7075) + u16(2) + "xx" + u16(1) + u16(24) + u64(5) + u64(5) + u64(0);
  const std::string large = central_header("a/b", kIn64, kIn64, kIn64, extra);
  for (const std::string& archive :
       {begin + plain + end_record(1, plain.size(), begin.size()),
        begin + plain + end_record(1, plain.size(), begin.size(), "a comment PK\x05\x06"),
        begin + large + end_records64(1, large.size(), begin.size())}) {
    const auto index = index_of(archive);
    INFO((index.ok() ? "" : message_of(index.status())));
    REQUIRE(index.ok());
    REQUIRE(index->contains("a/b"));
    const ZipMember& member = index->at("a/b");
    CHECK(member.is_stored);
    CHECK(archive.substr(member.offset, member.size_bytes) == "hello");
  }
  const std::string deflated = central_header("a/b", 5, 9, 0, "", /*method=*/8);
  const auto index = index_of(begin + deflated + end_record(1, deflated.size(), begin.size()));
  REQUIRE(index.ok());
  CHECK_FALSE(index->at("a/b").is_stored);
  CHECK(index_of(end_record(0, 0, 0))->empty());
}

TEST_CASE("An archive that contradicts itself or leaves its file is refused", "[io]") {
  const std::string begin = local_header("a", 0) + "hello";
  const auto archive = [&](const std::string& directory, std::uint64_t count = 1) {
    return begin + directory + end_record(count, directory.size(), begin.size());
  };
  CHECK(reason(archive(central_header("a", 5, 5, 0))).empty());
  CHECK_THAT(reason(archive(central_header("a", 5, 4, 0))), Contains("contradicts itself"));
  CHECK_THAT(reason(archive(central_header("a", 500, 500, 0))), Contains("a leaves the file"));
  CHECK_THAT(reason(archive(central_header("a", 5, 5, 7))), Contains("points outside"));
  CHECK_THAT(reason(archive(central_header("a", 5, 5, 0xFFFFFFF0))), Contains("points outside"));
  CHECK_THAT(reason(archive(central_header("a", 5, 5, kIn64))), Contains("bad zip64"));
  const std::string far = u16(1) + u16(8) + u64(~std::uint64_t{0} - 3);
  CHECK_THAT(reason(archive(central_header("a", 5, 5, kIn64, far))), Contains("points outside"));
  CHECK_THAT(reason(archive(central_header("a", kIn64, kIn64, 0, u16(1) + u16(900)))),
             Contains("bad zip64"));
  const std::string twice = central_header("a", 5, 5, 0) + central_header("a", 5, 5, 0);
  CHECK_THAT(reason(archive(twice, 2)), Contains("a member twice (a)"));
  CHECK_THAT(reason(archive(central_header("a", 5, 5, 0), 2)), Contains("another number"));
  CHECK_THAT(reason(begin + end_record(1, 400, begin.size())), Contains("outside the file"));
  CHECK_THAT(reason(begin + "x" + end_record(1, 1, begin.size())), Contains("damaged directory"));
  CHECK_THAT(reason(begin), Contains("no directory at its end"));
  CHECK_THAT(reason("PK"), Contains("cut short"));
  const std::string parts =
      "PK\x05\x06" + u16(1) + u16(1) + u16(0) + u16(0) + u32(0) + u32(0) + u16(0);
  CHECK_THAT(reason(parts), Contains("one of several parts"));
}

}  // namespace
}  // namespace titan
