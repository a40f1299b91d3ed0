// float8_testing.h: what rounding to 8 bits writes, and its comparison bit by bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "titan/kernels/float8.h"

#include "tests/kernels/kernel_testing.h"
#include "tests/support/catch.h"

namespace titan::testing {

using kernels::Float8Format;
using kernels::Float8Outputs;
using kernels::Float8Problem;
using kernels::Float8Source;

struct Wanted {
  bool by_row = true, by_column = true;
};
constexpr Wanted kWanted[] = {{true, true}, {true, false}, {false, true}};

/// What float8_quantize writes; nothing where it is not asked to.
struct Copies {
  static constexpr std::uint8_t kUntouched = 0xA5;
  std::vector<std::uint8_t> by_row, by_column;
  std::vector<float> row_inverse, column_inverse, workspace;
  int64_t column_stride;

  Copies(const Float8Problem& p, Wanted wanted, int64_t stride)
      : workspace(static_cast<std::size_t>(float8_workspace_size(p)), Array::kMark),
        column_stride(stride) {
    const auto rows = static_cast<std::size_t>(p.rows),
               columns = static_cast<std::size_t>(p.columns);
    if (wanted.by_row) by_row.assign(rows * columns, kUntouched);
    if (wanted.by_row) row_inverse.assign(p.rowwise ? rows : 1, Array::kMark);
    if (wanted.by_column) by_column.assign(columns * static_cast<std::size_t>(stride), kUntouched);
    if (wanted.by_column) column_inverse.assign(p.rowwise ? columns : 1, Array::kMark);
  }
  Float8Outputs io() {
    const auto data = [](auto& all) { return all.empty() ? nullptr : all.data(); };
    return {data(by_row),         data(row_inverse), data(by_column),
            data(column_inverse), column_stride,     workspace.data()};
  }
};

/// The CPU keeps a NaN's sign, a GPU does not.
inline std::vector<std::uint8_t> without_sign_of_nan(std::vector<std::uint8_t> numbers) {
  for (std::uint8_t& one : numbers)
    if ((one & 0x7FU) == 0x7FU) one = 0x7F;
  return numbers;
}
inline bool same_scales(const std::vector<float>& a, const std::vector<float>& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i)
    same = a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]));
  return same;
}
inline void require_same(const Copies& a, const Copies& b) {
  REQUIRE(without_sign_of_nan(a.by_row) == without_sign_of_nan(b.by_row));
  REQUIRE(without_sign_of_nan(a.by_column) == without_sign_of_nan(b.by_column));
  REQUIRE(same_scales(a.row_inverse, b.row_inverse));
  REQUIRE(same_scales(a.column_inverse, b.column_inverse));
}

/// `source` gives what lies in y [rows, columns], whatever is wanted of it. `prepare` may fill the
/// workspace for it, given the problem.
template <class Prepare>
void check_source(int64_t rows, int64_t columns, StorageType type, const Float8Source& source,
                  Array& y, Prepare&& prepare) {
  const int64_t stride = (rows + 15) / 16 * 16;
  for (const Float8Format format : {Float8Format::kE4m3, Float8Format::kE5m2}) {
    for (const bool rowwise : {false, true}) {
      for (const Wanted wanted : kWanted) {
        CAPTURE(rows, columns, static_cast<int>(type), static_cast<int>(format), rowwise,
                wanted.by_row, wanted.by_column);
        const Float8Problem problem{rows, columns, type, format, rowwise};
        Copies found(problem, wanted, stride), expected(problem, wanted, stride);
        prepare(problem, found.workspace.data());
        kernels::cuda::float8_quantize(problem, source, found.io(), nullptr);
        kernels::cuda::float8_quantize(problem, {.x = y.data(), .x_stride = columns}, expected.io(),
                                       nullptr);
        require_same(found, expected);
      }
    }
  }
}

inline void check_source(int64_t rows, int64_t columns, StorageType type,
                         const Float8Source& source, Array& y) {
  check_source(rows, columns, type, source, y, [](const Float8Problem&, float*) {});
}

}  // namespace titan::testing
