// float8.h: 8-bit floating point with one scale for a tensor, or one for each row of a product's
// operand (Micikevicius et al. 2022, arXiv:2209.05433).
//
//   amax  = max |x| over the tensor, or over a row (a column)
//   scale = largest finite value of the format / max(amax, 1e-12)
//   q     = round(clamp(x * scale))       nearest, ties to even; the formats do not saturate
//   themselves
//
// With a scale for each row, scales are rounded down to a power of two, so that scaling itself
// never rounds (torchao does the same there and, as here, not with one scale a tensor). A NaN or an
// infinity in x makes every result of its scale NaN: a diverged step stays visible.
//
// A product sums over the last dimension of both operands, each held row by row: y = x W^T takes x
// and W by row, dx = dy W takes W by column, dW = dy^T x takes dy and x by column. So what is
// quantised "by column" is also transposed. Maxima do not depend on the order in which they are
// taken, so results are the same bits on any number of threads.
#pragma once

#include <cstdint>

#include "titan/kernels/modulate_norm.h"
#include "titan/kernels/storage.h"

struct CUstream_st;

namespace titan::kernels {

/// kE4m3 ("e4m3fn"): 4 bits of exponent, no infinity, up to 448. kE5m2: up to 57344.
enum class Float8Format { kE4m3, kE5m2 };

constexpr float kE4m3Max = 448.0F;
constexpr float kE5m2Max = 57344.0F;

struct Float8Problem {
  int64_t rows = 0;
  int64_t columns = 0;  ///< x is [rows, columns], contiguous on the CPU
  StorageType storage = StorageType::kFloat32;
  Float8Format format = Float8Format::kE4m3;
  bool rowwise = false;  ///< a scale for each row (for each column of what is quantised by column)
};

/// Where the numbers to be rounded come from: an array, or an operation that is computed while its
/// inputs are read, so that its result is never written.
enum class Float8Origin {
  kStored,     ///< x
  kNormed,     ///< (norm(x) * weight + bias) * (1 + scale) + shift (modulate_norm.h)
  kGelu,       ///< gelu(x) (elementwise.h)
  kSwiGlu,     ///< silu(x) * other (elementwise.h)
  kBesideGelu  ///< [other, gelu(x)], side by side: the second half of a parallel block
};

/// [rows, columns] of a problem's storage type. A computed number is first rounded to that type, so
/// results are, bit by bit, those of the operation's own kernel followed by float8_quantize of what
/// it wrote. Strides: elements from one row to the next; columns are next to each other.
struct Float8Source {
  Float8Origin origin = Float8Origin::kStored;
  const void* x = nullptr;  ///< [rows, columns]; kBesideGelu: [rows, columns - other_columns]
  int64_t x_stride = 0;
  const void* other = nullptr;  ///< kSwiGlu: [rows, columns]; kBesideGelu: [rows, other_columns]
  int64_t other_stride = 0;
  int64_t other_columns = 0;  ///< kBesideGelu alone
  // kNormed alone: with statistics that modulate_norm_forward took.
  NormParameters norm = {};  ///< its gate is of no account
  StorageType param_storage = StorageType::kFloat32;
  int64_t tokens = 0;           ///< rows of one sample, which scale and shift go by
  const float* mean = nullptr;  ///< [rows]; null for RMSNorm
  const float* rstd = nullptr;  ///< [rows]
  /// The maxima of the rows, [rows], or with one scale of everything, [1], are at the start of the
  /// workspace already (ModulateNormForward::amax): they are not taken again.
  bool has_amax = false;
};

/// What is not wanted is null; where a copy is wanted, its inverse scales are too.
struct Float8Outputs {
  std::uint8_t* by_row = nullptr;     ///< [rows, columns]
  float* row_inverse = nullptr;       ///< 1 / scale: [rows], or [1] unless rowwise
  std::uint8_t* by_column = nullptr;  ///< [columns, column_stride]: x transposed
  float* column_inverse = nullptr;    ///< [columns], or [1] unless rowwise
  int64_t column_stride = 0;          ///< at least rows; what lies beyond the rows is set to zero
  float* workspace = nullptr;         ///< float8_workspace_size() floats
};

/// Maxima of rows, then of columns.
inline int64_t float8_workspace_size(const Float8Problem& problem) {
  return problem.rows + problem.columns;
}

/// The factor that brings `amax` to the largest value of the format; NaN for NaN, 0 for infinity.
TITAN_HOST_DEVICE inline float float8_scale(float amax, Float8Format format, bool power_of_two) {
  constexpr float kLeast = 1e-12F;  // a tensor of zeros
  const float held = amax < kLeast ? kLeast : amax;
  const float scale = (format == Float8Format::kE4m3 ? kE4m3Max : kE5m2Max) / held;
  if (!power_of_two || scale != scale) return scale;
  // The built-in: std::bit_cast is no device function.
  return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, scale) & 0xFF800000U);
}

namespace cpu {
void float8_quantize(const Float8Problem& problem, const void* x, const Float8Outputs& out);
/// Rounds `count` numbers as they are; what is too large becomes the largest of the format.
void float8_encode(Float8Format format, int64_t count, const float* in, std::uint8_t* out);
/// The exact values of `count` numbers.
void float8_decode(Float8Format format, int64_t count, const std::uint8_t* in, float* out);
}  // namespace cpu

namespace cuda {
/// What the source names is read twice: for the maxima, and for both copies; once where has_amax
/// leaves no maxima to take (one scale for everything, or no copy by column). 4 elements are read
/// at a time where 4 divides columns, other_columns and strides and pointers are aligned so, else
/// one by one. All pointers are of the device of `stream`.
void float8_quantize(const Float8Problem& problem, const Float8Source& source,
                     const Float8Outputs& out, CUstream_st* stream);
}  // namespace cuda

}  // namespace titan::kernels
