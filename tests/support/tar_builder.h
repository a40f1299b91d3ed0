// tar_builder.h: tars for tests, byte by byte.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>

namespace titan::testing {

class TarBuilder {
 public:
  /// Appends a header (with a right checksum) and data padded to blocks.
  TarBuilder& add(const std::string& name, const std::string& data, char type = '0',
                  const std::string& prefix = "") {
    std::string header(512, '\0');
    name.copy(header.data(), std::min<std::size_t>(name.size(), 100));
    const auto octal = [&](std::size_t at, int digits, std::uint64_t value) {
      char text[32];
      std::snprintf(text, sizeof(text), "%0*llo", digits, static_cast<unsigned long long>(value));
      std::string(text).copy(header.data() + at, static_cast<std::size_t>(digits));
    };
    octal(100, 7, 0644);
    octal(108, 7, 0);
    octal(116, 7, 0);
    octal(124, 11, data.size());
    octal(136, 11, 0);
    header[156] = type;
    std::string(
        "ustar\0"
        "00",
        8)
        .copy(header.data() + 257, 8);
    prefix.copy(header.data() + 345, std::min<std::size_t>(prefix.size(), 155));
    header.replace(148, 8, 8, ' ');
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    octal(148, 6, sum);
    header[154] = '\0';
    bytes_ += header + data + std::string((512 - data.size() % 512) % 512, '\0');
    return *this;
  }
  /// A PAX header for the next member: record "key=value".
  TarBuilder& pax(const std::string& record, char type = 'x') {
    std::size_t length = record.size() + 3;
    while (std::to_string(length).size() + 1 + record.size() + 1 != length) ++length;
    return add("pax", std::to_string(length) + " " + record + "\n", type);
  }
  std::string bytes() const { return bytes_; }
  /// With the two zero blocks that end an archive.
  std::string finished() const { return bytes_ + std::string(1024, '\0'); }

 private:
  std::string bytes_;
};

}  // namespace titan::testing
