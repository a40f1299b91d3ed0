#include "titan/kernels/gemm.h"

#include <algorithm>
#include <utility>

#include <omp.h>

#include "titan/kernels/cpu/simd.h"

namespace titan::kernels::cpu {
namespace {

// Depth of packed panels: a panel of columns (32 * 384 floats) and one of rows leave the
// first-level cache for the second, which is fast enough for both; deeper tiles store c less often.
constexpr int64_t kDepth = 384;
// Rows packed at a time: with kDepth three eighths of a megabyte, for the second-level cache.
constexpr int64_t kRows = 252;  // a multiple of every tile's rows
// Columns packed at a time: with kDepth 3 MiB, for the third-level cache.
constexpr int64_t kColumns = 2048;
/// Vectors that are read or written past the end of packed panels.
constexpr int64_t kSlack = 16;

namespace avx512 {
#define TITAN_BODY_TARGET TITAN_TARGET_AVX512
constexpr int kWidth = 16;
constexpr int kPanelRows = 14;
constexpr int kPanelVecs = 2;
#include "titan/kernels/cpu/gemm_body.inc"
#undef TITAN_BODY_TARGET
}  // namespace avx512

namespace avx2 {
#define TITAN_BODY_TARGET TITAN_TARGET_AVX2
constexpr int kWidth = 8;
constexpr int kPanelRows = 6;
constexpr int kPanelVecs = 2;
#include "titan/kernels/cpu/gemm_body.inc"
#undef TITAN_BODY_TARGET
}  // namespace avx2

namespace baseline {
#define TITAN_BODY_TARGET
constexpr int kWidth = 4;
constexpr int kPanelRows = 4;
constexpr int kPanelVecs = 2;
#include "titan/kernels/cpu/gemm_body.inc"
#undef TITAN_BODY_TARGET
}  // namespace baseline

/// What the blocking needs of an instruction set.
struct Machine {
  int64_t panel_rows, panel_columns;
  void (*pack_a)(int64_t, int64_t, const GemmOperand&, float*);
  void (*pack_b)(int64_t, int64_t, const GemmOperand&, float*);
  void (*add_sums)(int64_t, int64_t, const float*, float*);
  void (*(*tile)(int64_t rows))(int64_t, const float*, const float*, const float*, float*, int64_t);
};
#define TITAN_MACHINE(set)                                                               \
  Machine {                                                                              \
    set::kPanelRows, set::kPanelColumns, set::pack<set::kPanelRows>,                     \
        set::pack<set::kPanelColumns>, set::add_sums, [](int64_t rows) {                 \
          return set::tile_of(rows, std::make_integer_sequence<int, set::kPanelRows>()); \
        }                                                                                \
  }

const Machine& machine() {
  static const Machine machines[] = {TITAN_MACHINE(baseline), TITAN_MACHINE(avx2),
                                     TITAN_MACHINE(avx512)};
  return machines[static_cast<int>(simd_level())];
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Operand from row i and depth s on.
GemmOperand from(const GemmOperand& operand, int64_t i, int64_t s) {
  return {operand.data + i * operand.step + s * operand.depth_step, operand.step,
          operand.depth_step};
}

/// One thread's part of c.
struct Part {
  int64_t row_begin, row_end, column_begin, column_end;
};

class Product {
 public:
  Product(const GemmProblem& problem, const Part& part)
      : p_(problem), part_(part), machine_(machine()) {
    const int64_t depths = std::max<int64_t>(1, ceil_div(p_.depth, kDepth));
    depth_step_ = std::max<int64_t>(1, ceil_div(p_.depth, depths));
    const int64_t columns = std::min(kColumns, part.column_end - part.column_begin);
    const int64_t rows = std::min(kRows, part.row_end - part.row_begin);
    const int64_t a_size =
        ceil_div(rows, machine_.panel_rows) * machine_.panel_rows * depth_step_ + kSlack;
    const int64_t b_size =
        ceil_div(columns, machine_.panel_columns) * machine_.panel_columns * depth_step_;
    const int64_t a_lines = ceil_div(a_size, 16) * 16;
    a_ = scratch(a_lines + b_size + kSlack);
    b_ = a_ + a_lines;
  }

  void run() {
    if (p_.a_row_sums != nullptr && part_.column_begin == 0)
      std::fill(p_.a_row_sums + part_.row_begin, p_.a_row_sums + part_.row_end, 0.0F);
    for (int64_t j = part_.column_begin; j < part_.column_end; j += kColumns) {
      const int64_t columns = std::min(kColumns, part_.column_end - j);
      // At least once, so that c is written where the depth is 0.
      for (int64_t s = 0; s == 0 || s < p_.depth; s += depth_step_)
        block(j, columns, s, std::min(depth_step_, p_.depth - s));
    }
  }

 private:
  void block(int64_t j, int64_t columns, int64_t s, int64_t depth) {
    machine_.pack_b(columns, depth, from(p_.b, j, s), b_);
    for (int64_t i = part_.row_begin; i < part_.row_end; i += kRows) {
      const int64_t rows = std::min(kRows, part_.row_end - i);
      machine_.pack_a(rows, depth, from(p_.a, i, s), a_);
      if (p_.a_row_sums != nullptr && j == 0) machine_.add_sums(rows, depth, a_, p_.a_row_sums + i);
      for (int64_t n = 0; n < columns; n += machine_.panel_columns)
        column_of_tiles(i, rows, j + n, std::min(machine_.panel_columns, columns - n),
                        b_ + n * depth, depth, s == 0 && !p_.accumulate);
    }
  }

  void column_of_tiles(int64_t i, int64_t rows, int64_t j, int64_t columns, const float* b,
                       int64_t depth, bool starts) {
    alignas(64) float start[kMostColumns] = {};
    if (starts && p_.bias != nullptr) std::copy_n(p_.bias + j, columns, start);
    for (int64_t r = 0; r < rows; r += machine_.panel_rows) {
      const int64_t here = std::min(machine_.panel_rows, rows - r);
      const auto tile = machine_.tile(here);
      float* c = p_.c + (i + r) * p_.c_step + j;
      if (columns == machine_.panel_columns) {
        tile(depth, a_ + r * depth, b, starts ? start : nullptr, c, p_.c_step);
      } else {
        narrow_tile(tile, here, columns, depth, a_ + r * depth, b, starts ? start : nullptr, c);
      }
    }
  }

  /// Columns that do not fill a tile go through one of their own.
  template <class Tile>
  void narrow_tile(Tile tile, int64_t rows, int64_t columns, int64_t depth, const float* a,
                   const float* b, const float* start, float* c) const {
    alignas(64) float own[kMostRows * kMostColumns];
    if (start == nullptr) {
      std::fill_n(own, rows * kMostColumns, 0.0F);
      for (int64_t r = 0; r < rows; ++r)
        std::copy_n(c + r * p_.c_step, columns, own + r * kMostColumns);
    }
    tile(depth, a, b, start, own, kMostColumns);
    for (int64_t r = 0; r < rows; ++r)
      std::copy_n(own + r * kMostColumns, columns, c + r * p_.c_step);
  }

  static constexpr int64_t kMostRows = avx512::kPanelRows;
  static constexpr int64_t kMostColumns = avx512::kPanelColumns;

  const GemmProblem& p_;
  const Part part_;
  const Machine& machine_;
  int64_t depth_step_ = 1;
  float *a_ = nullptr, *b_ = nullptr;
};

/// How threads share c: `rows` times `columns` parts.
struct Grid {
  int64_t rows = 1, columns = 1;
};

/// The grid whose threads pack least.
Grid grid_for(const GemmProblem& p, int64_t threads) {
  Grid best;
  double least = 0.0;
  for (int64_t rows = 1; rows <= threads; ++rows) {
    if (threads % rows != 0) continue;
    const Grid grid{rows, threads / rows};
    const double packed = static_cast<double>(p.rows) / static_cast<double>(grid.rows) +
                          static_cast<double>(p.columns) / static_cast<double>(grid.columns);
    if (rows == 1 || packed < least) best = grid, least = packed;
  }
  return best;
}

/// Border `index` of `count` even parts of `size`, on a multiple of `unit`.
int64_t border(int64_t size, int64_t index, int64_t count, int64_t unit) {
  return std::min(size, ceil_div(ceil_div(size, unit) * index, count) * unit);
}

}  // namespace

void gemm(const GemmProblem& problem) {
  const bool parallel = problem.rows * problem.columns * std::max<int64_t>(problem.depth, 1) >=
                        64 * kParallelElements;
  const Grid grid = grid_for(problem, parallel ? omp_get_max_threads() : 1);
#pragma omp parallel for schedule(static) if (parallel)
  for (int64_t task = 0; task < grid.rows * grid.columns; ++task) {
    const int64_t row = task / grid.columns, column = task % grid.columns;
    const int64_t unit = machine().panel_columns;
    const Part part{.row_begin = border(problem.rows, row, grid.rows, 2),
                    .row_end = border(problem.rows, row + 1, grid.rows, 2),
                    .column_begin = border(problem.columns, column, grid.columns, unit),
                    .column_end = border(problem.columns, column + 1, grid.columns, unit)};
    if (part.row_begin < part.row_end && part.column_begin < part.column_end)
      Product(problem, part).run();
  }
}

bool gemm_pays(int64_t rows, int64_t columns, int64_t depth) {
  // Measured beside MKL (docs/results/cpu_gemm.md): fewer rows are a matrix times a vector, and
  // narrower matrices leave most of a tile empty.
  return simd_level() != SimdLevel::kBaseline && rows >= 4 && columns >= 32 && depth >= 32;
}

}  // namespace titan::kernels::cpu
