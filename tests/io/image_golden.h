// Reference files of the image tests: folder, JSON, tar members, tensors of bytes.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include <archive.h>
#include <archive_entry.h>
#include <nlohmann/json.hpp>

namespace titan::testing {

using Bytes = std::vector<std::uint8_t>;

inline std::filesystem::path image_golden() {
  const char* root = std::getenv("TITAN_GOLDEN");
  return std::filesystem::path(root != nullptr ? root : "../shared/golden") / "data" / "image";
}

inline Bytes read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in);
}

/// Members of a tar by name.
inline std::map<std::string, Bytes> read_tar(const std::filesystem::path& path) {
  std::map<std::string, Bytes> members;
  struct archive* tar = archive_read_new();
  archive_read_support_format_tar(tar);
  if (archive_read_open_filename(tar, path.c_str(), 1 << 16) == ARCHIVE_OK) {
    struct archive_entry* entry = nullptr;
    while (archive_read_next_header(tar, &entry) == ARCHIVE_OK) {
      Bytes bytes(static_cast<std::size_t>(archive_entry_size(entry)));
      archive_read_data(tar, bytes.data(), bytes.size());
      members[archive_entry_pathname(entry)] = std::move(bytes);
    }
  }
  archive_read_free(tar);
  return members;
}

/// The 32 photographs that the golden photo cases are made of.
inline std::filesystem::path photo_tar() {
  return "../shared/data/cc12m_test/cc12m-train-0000.tar";
}

/// One tensor of a safetensors file, as raw bytes.
inline Bytes read_tensor(const std::filesystem::path& path, const std::string& name) {
  const Bytes file = read_bytes(path);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  const char* header = reinterpret_cast<const char*>(file.data()) + 8;
  const auto json = nlohmann::json::parse(header, header + header_bytes);
  const auto offsets = json.at(name).at("data_offsets").get<std::vector<std::size_t>>();
  const auto base = file.begin() + 8 + static_cast<std::ptrdiff_t>(header_bytes);
  return Bytes(base + static_cast<std::ptrdiff_t>(offsets[0]),
               base + static_cast<std::ptrdiff_t>(offsets[1]));
}

}  // namespace titan::testing
