// flat_values.h: float32 values of a flat buffer, however they are stored: what fills, saves and
// averages weights does not ask which of the storages it has before it.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace titan::parallel {

/// A run of a flat buffer. With a remainder, element i is the float32 whose upper half, rounded, is
/// stored[i] and whose low 16 bits are remainder[i] (kernels/adamw.h: a pair).
struct FlatValues {
  at::Tensor stored;          ///< 1-D; bfloat16 where there is a remainder
  at::Tensor remainder = {};  ///< int16, or undefined

  /// Of the values: float32 for pairs, else as stored.
  at::ScalarType dtype() const { return remainder.defined() ? at::kFloat : stored.scalar_type(); }
  int64_t numel() const { return stored.numel(); }
  int64_t nbytes() const;
  bool is_cpu() const { return stored.is_cpu(); }
  /// Elements [start, start + length), sharing storage.
  FlatValues narrow(int64_t start, int64_t length) const;
  /// The values: the storage itself, or a float32 copy that holds a pair's every bit.
  at::Tensor values() const;
  /// Stores `values` (1-D, of any dtype and device): pairs exactly, else rounded to nearest.
  void assign(const at::Tensor& values) const;
};

}  // namespace titan::parallel
