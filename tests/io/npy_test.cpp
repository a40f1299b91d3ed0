#include "titan/io/npy.h"

#include <cstring>
#include <random>
#include <vector>

#include "tests/support/catch.h"

namespace titan {
namespace {

using Catch::Matchers::Contains;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// A blob of version 1.0 with this dictionary and `data_bytes` values of zero.
std::string blob_of(const std::string& dict, std::size_t data_bytes) {
  std::string blob = "\x93NUMPY";
  blob += '\x01';
  blob += '\0';
  blob += static_cast<char>(dict.size() & 0xFF);
  blob += static_cast<char>(dict.size() >> 8);
  return blob + dict + std::string(data_bytes, '\0');
}

std::string message_for(const std::string& blob) {
  const StatusOr<NpyHeader> header = parse_npy(bytes_of(blob));
  return header.ok() ? "" : message_of(header.status());
}

}  // namespace

TEST_CASE("npy: a rendered header parses to what it says") {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{}, {7}, {256, 4096}, {16, 32, 32}, {1, 2, 3, 4, 5, 6, 7, 8}}) {
    std::size_t bytes = 2;
    for (const int64_t size : shape) bytes *= static_cast<std::size_t>(size);
    const std::string front = render_npy_header("<u2", shape);
    CHECK(front.size() % 64 == 0);
    const StatusOr<NpyHeader> header = parse_npy(bytes_of(front + std::string(bytes, 'x')));
    REQUIRE(header.ok());
    CHECK(header->type == "<u2");
    CHECK(header->shape == shape);
    CHECK_FALSE(header->fortran_order);
    CHECK(header->data_offset == front.size());
    CHECK(header->data_bytes == bytes);
  }
}

TEST_CASE("npy: NumPy's other spellings") {
  const std::string dict = "{'shape': (2, 3,), \"descr\": '>f4' , 'fortran_order': True}";
  const StatusOr<NpyHeader> header = parse_npy(bytes_of(blob_of(dict, 24) + "trailing"));
  REQUIRE(header.ok());
  CHECK(header->type == ">f4");
  CHECK(header->fortran_order);
  CHECK(header->data_bytes == 24);
  std::string version2 = "\x93NUMPY";
  version2 += '\x02';
  version2 += '\0';
  version2 += static_cast<char>(dict.size());
  version2 += std::string(3, '\0');
  CHECK(parse_npy(bytes_of(version2 + dict + std::string(24, '\0'))).ok());
}

TEST_CASE("npy: hostile blobs are refused by name") {
  const std::string good = "{'descr': '<u2', 'fortran_order': False, 'shape': (4,), }";
  CHECK(message_for(blob_of(good, 8)).empty());
  CHECK_THAT(message_for(""), Contains("empty"));
  CHECK_THAT(message_for("NUMPY and more bytes"), Contains("magic"));
  CHECK_THAT(message_for("\x93NUMPY\x01"), Contains("cut short"));
  CHECK_THAT(message_for(blob_of(good, 7)), Contains("7 of 8 bytes"));
  CHECK_THAT(message_for(blob_of(good, 8).substr(0, 30)), Contains("does not fit"));
  const auto with = [&](const std::string& type, const std::string& shape) {
    return message_for(
        blob_of("{'descr': " + type + ", 'fortran_order': False, 'shape': " + shape + "}", 64));
  };
  CHECK(with("'<u2'", "(32,)").empty());
  CHECK_THAT(with("'|O'", "(4,)"), Contains("pickled"));
  CHECK_THAT(with("'<u3'", "(4,)"), Contains("unknown type"));
  CHECK_THAT(with("[('a', '<u2')]", "(4,)"), Contains("malformed"));
  CHECK_THAT(with("'<u2'", "(-1,)"), Contains("malformed"));
  CHECK_THAT(with("'<u2'", "4"), Contains("malformed"));
  CHECK_THAT(with("'<u2'", "(99999999999999999999,)"), Contains("malformed"));
  CHECK_THAT(with("'<u2'", "(4611686018427387904, 16)"), Contains("overflows"));
  CHECK_THAT(with("'<u2'", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), Contains("malformed"));
  CHECK_THAT(message_for(blob_of("{'descr': '<u2', 'shape': (4,)}", 8)), Contains("malformed"));
  CHECK_THAT(message_for(blob_of("{'descr': '<u2', 'descr': '<u2', 'shape': (4,)}", 8)),
             Contains("malformed"));
}

TEST_CASE("npy: random damage never escapes the blob") {
  const std::string good = render_npy_header("<u2", {3, 5}) + std::string(30, 'v');
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string blob = good;
    for (unsigned i = 0; i <= random() % 4; ++i)
      blob[random() % blob.size()] = static_cast<char>(random());
    blob.resize(blob.size() - random() % 8);
    // A buffer of its own size, so that a sanitizer sees a read past its end.
    const std::vector<char> exact(blob.begin(), blob.end());
    const StatusOr<NpyHeader> header = parse_npy(std::as_bytes(std::span(exact)));
    if (header.ok()) CHECK(header->data_offset + header->data_bytes <= exact.size());
  }
}

TEST_CASE("npy: Fortran order becomes C order") {
  // [2, 3, 4] with value = 100 i + 10 j + k.
  NpyHeader header{.type = "<u2",
                   .fortran_order = true,
                   .shape = {2, 3, 4},
                   .element_bytes = 2,
                   .data_offset = 0,
                   .data_bytes = 48};
  std::vector<std::uint16_t> fortran, expected, result(24);
  for (int k = 0; k < 4; ++k)
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 2; ++i)
        fortran.push_back(static_cast<std::uint16_t>(100 * i + 10 * j + k));
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 4; ++k)
        expected.push_back(static_cast<std::uint16_t>(100 * i + 10 * j + k));
  npy_to_c_order(header, reinterpret_cast<const std::byte*>(fortran.data()),
                 reinterpret_cast<std::byte*>(result.data()));
  CHECK(result == expected);
}

}  // namespace titan
