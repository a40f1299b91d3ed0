// Rounding to 8 bits on the emulated GPU: of arrays against the CPU, of what is computed on the way
// against the operation's own kernel and then rounding, all bit by bit.
#include "tests/support/catch.h"

#include <array>
#include <bit>
#include <cmath>

#include "tests/kernels/float8_testing.h"
#include "titan/kernels/cuda/fused_math.cuh"
#include "titan/kernels/elementwise.h"

namespace titan::kernels {
namespace {

using testing::Array;
using testing::check_source;
using testing::Copies;
using testing::kOffsets;
using testing::kStorages;
using testing::kWanted;
using testing::marked_array;
using testing::random_array;
using testing::require_same;
using testing::Wanted;

/// Numbers of very different size, so that scales differ and some are rounded to zero.
Array uneven_array(StorageType type, int64_t rows, int64_t stride, int64_t offset) {
  Array x = random_array(type, rows * stride, offset);
  for (int64_t i = 0; i < x.count(); ++i)
    x.set(i, x.at(i) * std::exp2(static_cast<float>(i / stride % 7 - 3 * (i % 5))));
  return x;
}

TEST_CASE("the CUDA kernels round an array to 8 bits as the CPU does", "[kernels]") {
  for (const auto& [rows, columns, stride] : {std::array<int64_t, 3>{1, 1, 1},
                                              {3, 16, 16},
                                              {64, 64, 64},
                                              {65, 130, 80},
                                              {70, 100, 71},
                                              {130, 68, 200}}) {
    for (const StorageType type : kStorages) {
      for (const int64_t offset : kOffsets) {
        for (const bool bad : {false, true}) {
          Array x = uneven_array(type, rows, columns, offset);
          if (bad) x.set(rows / 2 * columns, NAN);
          if (bad) x.set(rows * columns - 1, INFINITY);
          for (const Float8Format format : {Float8Format::kE4m3, Float8Format::kE5m2}) {
            for (const bool rowwise : {false, true}) {
              for (const Wanted wanted : kWanted) {
                CAPTURE(rows, columns, static_cast<int>(type), offset, bad,
                        static_cast<int>(format), rowwise, wanted.by_row, wanted.by_column);
                const Float8Problem problem{rows, columns, type, format, rowwise};
                Copies found(problem, wanted, stride), expected(problem, wanted, stride);
                cuda::float8_quantize(problem, {.x = x.data(), .x_stride = columns}, found.io(),
                                      nullptr);
                cpu::float8_quantize(problem, x.data(), expected.io());
                require_same(found, expected);
              }
            }
          }
        }
      }
    }
  }
}

TEST_CASE("one block takes the maxima of several tiles", "[kernels]") {
  // So many tiles, one below the other, that some blocks take a second one, whose number is
  // largest.
  constexpr int64_t kRows = 64 * (8192 + 2) + 5, kColumns = 4;
  constexpr auto kType = StorageType::kBFloat16;
  Array x = random_array(kType, kRows * kColumns, 0);
  x.set((kRows - 70) * kColumns, 1000.0F);
  x.set((kRows - 1) * kColumns + 2, -3000.0F);
  for (const bool rowwise : {false, true}) {
    CAPTURE(rowwise);
    const Float8Problem problem{kRows, kColumns, kType, Float8Format::kE4m3, rowwise};
    const Wanted wanted{.by_row = rowwise, .by_column = true};
    Copies found(problem, wanted, kRows), expected(problem, wanted, kRows);
    cuda::float8_quantize(problem, {.x = x.data(), .x_stride = kColumns}, found.io(), nullptr);
    cpu::float8_quantize(problem, x.data(), expected.io());
    require_same(found, expected);
  }
}

// rows, columns, columns to their left, gaps behind the rows of either input
constexpr std::array<int64_t, 4> kShapes[] = {
    {1, 5, 3, 0}, {3, 24, 8, 0}, {70, 68, 64, 4}, {66, 130, 62, 7}, {130, 40, 33, 12}};

TEST_CASE("GELU is rounded to 8 bits on the way as behind its kernel", "[kernels]") {
  for (const auto& [rows, columns, left, gap] : kShapes) {
    for (const StorageType type : kStorages) {
      for (const int64_t offset : kOffsets) {
        for (const bool bad : {false, true}) {
          CAPTURE(offset, left, gap, bad);
          const int64_t x_stride = columns + gap, all = left + columns;
          Array x = uneven_array(type, rows, x_stride, offset);
          if (bad) x.set(rows / 2 * x_stride + columns / 2, offset == 0 ? NAN : -INFINITY);
          if (bad && offset != 0) x.set(0, INFINITY);  // larger than all, but not what NaN is
          Array y = marked_array(type, rows * columns);
          GeluProblem gelu{rows, columns, x_stride, columns, type};
          cuda::gelu_forward(gelu, x.data(), y.data(), nullptr);
          Float8Source source{.origin = Float8Origin::kGelu, .x = x.data(), .x_stride = x_stride};
          check_source(rows, columns, type, source, y);

          // Beside what lies to the left: attention's result.
          const int64_t other_stride = left + gap;
          Array other = uneven_array(type, rows, other_stride, offset);
          if (bad) other.set(rows * other_stride - gap - 1, INFINITY);
          Array both = marked_array(type, rows * all);
          gelu.out_stride = all;
          cuda::gelu_forward(gelu, x.data(), both.data(left), nullptr);
          for (int64_t i = 0; i < rows * left; ++i)
            both.set(i / left * all + i % left, other.at(i / left * other_stride + i % left));
          source.origin = Float8Origin::kBesideGelu;
          source.other = other.data();
          source.other_stride = other_stride;
          source.other_columns = left;
          check_source(rows, all, type, source, both);
        }
      }
    }
  }
}

TEST_CASE("SwiGLU is rounded to 8 bits on the way as behind its kernel", "[kernels]") {
  for (const auto& [rows, columns, left, gap] : kShapes) {
    for (const StorageType type : kStorages) {
      for (const int64_t offset : kOffsets) {
        CAPTURE(offset, left, gap);
        // a and b are columns of one matrix; SwiGLU's own kernel takes them apart.
        const int64_t stride = left + 2 * columns + gap;
        Array in = uneven_array(type, rows, stride, offset);
        in.set(rows / 2 * stride + left + columns / 2, NAN);
        Array a = marked_array(type, rows * columns), b = marked_array(type, rows * columns);
        for (int64_t i = 0; i < rows * columns; ++i) {
          const int64_t at = i / columns * stride + left + i % columns;
          a.set(i, in.at(at));
          b.set(i, in.at(at + columns));
        }
        Array y = marked_array(type, rows * columns);
        cuda::swiglu_forward(type, rows * columns, a.data(), b.data(), y.data(), nullptr);
        check_source(rows, columns, type,
                     {.origin = Float8Origin::kSwiGlu,
                      .x = in.data(left),
                      .x_stride = stride,
                      .other = in.data(left + columns),
                      .other_stride = stride},
                     y);
      }
    }
  }
}

TEST_CASE("what is passed over for a maximum is no larger: bounds of activations", "[kernels]") {
  const auto below = [](float x, float bound) {
    return !std::isfinite(bound) || std::abs(x) <= std::abs(bound);
  };
  bool gelu_holds = true, swiglu_holds = true;
  for (std::uint32_t number = 0; number < 1U << 16; ++number) {  // every bfloat16
    const float x = std::bit_cast<float>(number << 16);
    const float y = cuda::gelu(x), bound = cuda::gelu_bound(x);
    gelu_holds = gelu_holds && below(y, bound) && below(cuda::rounded<__nv_bfloat16>(y), bound);
    for (const float b : {0.0F, -0.7F, 1.0F, 3e30F, INFINITY, NAN})
      swiglu_holds = swiglu_holds && below(cuda::swiglu(x, b), cuda::swiglu_bound(x, b));
  }
  REQUIRE(gelu_holds);
  REQUIRE(swiglu_holds);
}

}  // namespace
}  // namespace titan::kernels
