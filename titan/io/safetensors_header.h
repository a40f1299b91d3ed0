// safetensors_header.h: the JSON header alone, from text to checked entries and back. Private to
// safetensors.cpp and the fuzz tests.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/safetensors.h"

namespace titan {

struct SafetensorsHeader {
  std::vector<TensorEntry>
      entries;  ///< offsets relative to the first data byte; sorted by offset; data unset
  std::map<std::string, std::string> metadata;
};

/// Parses and checks a header whose tensors must fill exactly `data_bytes`.
StatusOr<SafetensorsHeader> parse_safetensors_header(const char* text, std::size_t size_bytes,
                                                     std::uint64_t data_bytes);

/// Elements times element size; an error on negative sizes or overflow of int64.
StatusOr<std::uint64_t> tensor_size_bytes(TensorType type, const std::vector<int64_t>& shape);

/// The header's text with its 8 bytes of length, padded with spaces so that the data starts 8-byte
/// aligned.
StatusOr<std::string> render_safetensors_header(const std::vector<TensorSpec>& specs,
                                                const std::map<std::string, std::string>& metadata,
                                                std::uint64_t* data_bytes);

}  // namespace titan
