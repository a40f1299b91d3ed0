#include "titan/kernels/float8.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "titan/kernels/cpu/simd.h"

namespace titan::kernels::cpu {
namespace {

/// Constants of a format, for float32 bit patterns.
template <Float8Format kFormat>
struct Format {
  static constexpr bool kFour = kFormat == Float8Format::kE4m3;
  static constexpr float kMax = kFour ? kE4m3Max : kE5m2Max;
  static constexpr int kMantissa = kFour ? 3 : 2;
  static constexpr int kBias = kFour ? 7 : 15;
  static constexpr int kDropped = 23 - kMantissa;
  static constexpr std::uint32_t kNaN = 0x7F;
  /// 2^(1 - bias): below it the numbers are evenly spaced.
  static constexpr std::uint32_t kLeastNormal = static_cast<std::uint32_t>(128 - kBias) << 23;
  /// Spacing of the subnormals, 2^(1 - bias - mantissa).
  static constexpr float kSpacing =
      std::bit_cast<float>(static_cast<std::uint32_t>(128 - kBias - kMantissa) << 23);
  /// A float32 whose own spacing is kSpacing: added to a smaller number it rounds that to a
  /// multiple.
  static constexpr std::uint32_t kRounder = static_cast<std::uint32_t>(151 - kBias - kMantissa)
                                            << 23;
};

/// Nearest number of the format, ties to even, at most its largest.
template <Float8Format kFormat>
TITAN_INLINE std::uint8_t encode(float value) {
  using F = Format<kFormat>;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t absolute = bits & 0x7FFFFFFFU;
  const float magnitude = std::bit_cast<float>(absolute);
  const float held = magnitude < F::kMax ? magnitude : F::kMax;
  const std::uint32_t h = std::bit_cast<std::uint32_t>(held);
  const std::uint32_t small =
      std::bit_cast<std::uint32_t>(held + std::bit_cast<float>(F::kRounder)) - F::kRounder;
  // Half a unit of what stays, less one where it is even, carries into it.
  const std::uint32_t rounding = (1U << (F::kDropped - 1)) - 1U + ((h >> F::kDropped) & 1U);
  const std::uint32_t normal =
      (h - (static_cast<std::uint32_t>(127 - F::kBias) << 23) + rounding) >> F::kDropped;
  const std::uint32_t number = h < F::kLeastNormal ? small : normal;
  const std::uint32_t result = absolute > 0x7F800000U ? F::kNaN : number;
  return static_cast<std::uint8_t>(result | (bits >> 24 & 0x80U));
}

template <Float8Format kFormat>
TITAN_INLINE float decode(std::uint8_t number) {
  using F = Format<kFormat>;
  const std::uint32_t absolute = number & 0x7FU;
  const std::uint32_t exponent = absolute >> F::kMantissa;
  const float normal = std::bit_cast<float>((absolute << F::kDropped) +
                                            (static_cast<std::uint32_t>(127 - F::kBias) << 23));
  const float small = static_cast<float>(static_cast<std::int32_t>(absolute)) * F::kSpacing;
  const float finite = exponent == 0 ? small : normal;
  const float infinity = std::bit_cast<float>(0x7F800000U);
  const float nan = std::bit_cast<float>(0x7FC00000U);
  const float magnitude = F::kFour ? (absolute == 0x7FU ? nan : finite)
                                   : (absolute > 0x7CU    ? nan
                                      : absolute == 0x7CU ? infinity
                                                          : finite);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) |
                              (static_cast<std::uint32_t>(number & 0x80U) << 24));
}

constexpr int64_t kTile = 64;  // one line of cache of 8-bit numbers

struct Args {
  Float8Problem problem;
  const void* x;
  Float8Outputs out;
  float* row_amax;
  float* column_amax;
};

/// Bits of |x|: among them the order of integers is that of the numbers, NaN above all.
template <class T>
TITAN_INLINE std::uint32_t magnitude_bits(T x) {
  return std::bit_cast<std::uint32_t>(to_float(x)) & 0x7FFFFFFFU;
}

/// One task takes one row.
template <class T>
TITAN_INLINE void amax_row_body(const Args& args, int64_t row) {
  const T* x = static_cast<const T*>(args.x) + row * args.problem.columns;
  std::uint32_t most = 0;
#pragma omp simd reduction(max : most)
  for (int64_t i = 0; i < args.problem.columns; ++i) {
    const std::uint32_t bits = magnitude_bits(x[i]);
    most = bits > most ? bits : most;
  }
  args.row_amax[row] = std::bit_cast<float>(most);
}
TITAN_VERSIONS(amax_row, Args)

/// One task takes kTile columns.
template <class T>
TITAN_INLINE void amax_columns_body(const Args& args, int64_t task) {
  const int64_t first = task * kTile;
  const int64_t width = std::min(kTile, args.problem.columns - first);
  std::uint32_t most[kTile] = {};
  for (int64_t row = 0; row < args.problem.rows; ++row) {
    const T* x = static_cast<const T*>(args.x) + row * args.problem.columns + first;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      const std::uint32_t bits = magnitude_bits(x[i]);
      most[i] = bits > most[i] ? bits : most[i];
    }
  }
  std::memcpy(args.column_amax + first, most, static_cast<std::size_t>(width) * sizeof(float));
}
TITAN_VERSIONS(amax_columns, Args)

template <Float8Format kFormat, class T>
TITAN_INLINE void cast_row(const Args& args, int64_t row) {
  const int64_t columns = args.problem.columns;
  const T* x = static_cast<const T*>(args.x) + row * columns;
  std::uint8_t* q = args.out.by_row + row * columns;
  const bool rowwise = args.problem.rowwise;
  const float scale = float8_scale(args.row_amax[rowwise ? row : 0], kFormat, rowwise);
#pragma omp simd
  for (int64_t i = 0; i < columns; ++i) q[i] = encode<kFormat>(to_float(x[i]) * scale);
  if (rowwise || row == 0) args.out.row_inverse[row] = 1.0F / scale;
}

/// One task takes one row.
template <class T>
TITAN_INLINE void by_row_body(const Args& args, int64_t row) {
  if (args.problem.format == Float8Format::kE4m3) {
    cast_row<Float8Format::kE4m3, T>(args, row);
  } else {
    cast_row<Float8Format::kE5m2, T>(args, row);
  }
}
TITAN_VERSIONS(by_row, Args)

template <Float8Format kFormat, class T>
TITAN_INLINE void cast_columns(const Args& args, int64_t task) {
  const int64_t first = task * kTile;
  const int64_t width = std::min(kTile, args.problem.columns - first);
  const bool rowwise = args.problem.rowwise;
  float scale[kTile];
  for (int64_t i = 0; i < width; ++i) {
    scale[i] =
        float8_scale(rowwise ? args.column_amax[first + i] : args.row_amax[0], kFormat, rowwise);
    if (rowwise || first + i == 0) args.out.column_inverse[first + i] = 1.0F / scale[i];
  }
  for (int64_t top = 0; top < args.out.column_stride; top += kTile) {
    std::uint8_t tile[kTile][kTile] = {};
    const int64_t height = std::min(kTile, args.out.column_stride - top);
    const int64_t filled = std::min(height, std::max<int64_t>(args.problem.rows - top, 0));
    for (int64_t r = 0; r < filled; ++r) {
      const T* x = static_cast<const T*>(args.x) + (top + r) * args.problem.columns + first;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) tile[r][i] = encode<kFormat>(to_float(x[i]) * scale[i]);
    }
    for (int64_t i = 0; i < width; ++i) {
      std::uint8_t* q = args.out.by_column + (first + i) * args.out.column_stride + top;
      for (int64_t r = 0; r < height; ++r) q[r] = tile[r][i];
    }
  }
}

/// One task takes kTile columns.
template <class T>
TITAN_INLINE void by_columns_body(const Args& args, int64_t task) {
  if (args.problem.format == Float8Format::kE4m3) {
    cast_columns<Float8Format::kE4m3, T>(args, task);
  } else {
    cast_columns<Float8Format::kE5m2, T>(args, task);
  }
}
TITAN_VERSIONS(by_columns, Args)

constexpr int64_t kNumbersPerTask = 16 * 1024;
struct CodeArgs {
  int64_t count;
  std::uint8_t* numbers;
  float* values;
};

template <Float8Format kFormat, bool kEncode>
TITAN_INLINE void code(const CodeArgs& args, int64_t task) {
  const int64_t first = task * kNumbersPerTask;
  const int64_t last = std::min(first + kNumbersPerTask, args.count);
  std::uint8_t* const numbers = args.numbers;  // bytes written through args could be args' own
  float* const values = args.values;
#pragma omp simd
  for (int64_t i = first; i < last; ++i) {
    if constexpr (kEncode) {
      numbers[i] = encode<kFormat>(values[i]);
    } else {
      values[i] = decode<kFormat>(numbers[i]);
    }
  }
}
// T is of no account: numbers are 8 bits wide, values float32.
template <class T>
TITAN_INLINE void encode_e4m3_body(const CodeArgs& args, int64_t task) {
  code<Float8Format::kE4m3, true>(args, task);
}
template <class T>
TITAN_INLINE void encode_e5m2_body(const CodeArgs& args, int64_t task) {
  code<Float8Format::kE5m2, true>(args, task);
}
template <class T>
TITAN_INLINE void decode_e4m3_body(const CodeArgs& args, int64_t task) {
  code<Float8Format::kE4m3, false>(args, task);
}
template <class T>
TITAN_INLINE void decode_e5m2_body(const CodeArgs& args, int64_t task) {
  code<Float8Format::kE5m2, false>(args, task);
}
TITAN_VERSIONS(encode_e4m3, CodeArgs)
TITAN_VERSIONS(encode_e5m2, CodeArgs)
TITAN_VERSIONS(decode_e4m3, CodeArgs)
TITAN_VERSIONS(decode_e5m2, CodeArgs)

void run_code(void (*task)(const CodeArgs&, int64_t), const CodeArgs& args) {
  run_tasks((args.count + kNumbersPerTask - 1) / kNumbersPerTask, args.count > kParallelElements,
            task, args);
}

}  // namespace

void float8_quantize(const Float8Problem& problem, const void* x, const Float8Outputs& out) {
  const Args args{problem, x, out, out.workspace, out.workspace + problem.rows};
  const bool parallel = problem.rows * problem.columns > kParallelElements;
  const int64_t strips = (problem.columns + kTile - 1) / kTile;
  if (out.by_row != nullptr || !problem.rowwise)
    run_tasks(problem.rows, parallel, amax_row_for(problem.storage), args);
  if (!problem.rowwise) {
    const auto bits = [](float amax) { return std::bit_cast<std::uint32_t>(amax); };
    for (int64_t row = 1; row < problem.rows; ++row)
      if (bits(args.row_amax[row]) > bits(args.row_amax[0])) args.row_amax[0] = args.row_amax[row];
  }
  if (out.by_row != nullptr) run_tasks(problem.rows, parallel, by_row_for(problem.storage), args);
  if (out.by_column == nullptr) return;
  if (problem.rowwise) run_tasks(strips, parallel, amax_columns_for(problem.storage), args);
  run_tasks(strips, parallel, by_columns_for(problem.storage), args);
}

void float8_encode(Float8Format format, int64_t count, const float* in, std::uint8_t* out) {
  const bool e4m3 = format == Float8Format::kE4m3;
  run_code(e4m3 ? encode_e4m3_for(StorageType::kFloat32) : encode_e5m2_for(StorageType::kFloat32),
           {count, out, const_cast<float*>(in)});
}

void float8_decode(Float8Format format, int64_t count, const std::uint8_t* in, float* out) {
  const bool e4m3 = format == Float8Format::kE4m3;
  run_code(e4m3 ? decode_e4m3_for(StorageType::kFloat32) : decode_e5m2_for(StorageType::kFloat32),
           {count, const_cast<std::uint8_t*>(in), out});
}

}  // namespace titan::kernels::cpu
