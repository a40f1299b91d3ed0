// fill.h: the golden files' deterministic values. Include tests/support/catch.h first.
#pragma once

#include <cstdint>
#include <string>

#include <torch/types.h>

namespace titan::testing {

/// A hash of (name, index) (README of the golden files), spread evenly over base -+ amp / 2;
/// float32.
inline at::Tensor fill(const std::string& name, at::IntArrayRef shape, double amp,
                       double base = 0) {
  std::uint32_t hash = 2166136261U;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  at::Tensor filled = at::empty(shape, at::kFloat);
  float* out = filled.data_ptr<float>();
  for (int64_t i = 0; i < filled.numel(); ++i) {
    std::uint32_t x = hash + static_cast<std::uint32_t>(i) * 0x9E3779B9U;
    x = (x ^ (x >> 16)) * 0x85EBCA6BU;
    x = (x ^ (x >> 13)) * 0xC2B2AE35U;
    x ^= x >> 16;
    out[i] = static_cast<float>(base + amp * (x / 4294967296.0 - 0.5));
  }
  return filled;
}

}  // namespace titan::testing
