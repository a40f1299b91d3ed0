#include "titan/kernels/float8.h"

#include <algorithm>

#include <cuda_fp8.h>

#include "titan/kernels/cuda/float8_source.cuh"
#include "titan/kernels/cuda/pack.cuh"

namespace titan::kernels::cuda {
namespace {

constexpr int kTile = 64;      // rows and columns of x that a block takes
constexpr int kThreads = 256;  // a thread takes kQuad neighbours of kPasses rows
constexpr int kThreadsPerRow = kTile / kQuad;
constexpr int kRowsAtOnce = kThreads / kThreadsPerRow;
constexpr int kPasses = kTile / kRowsAtOnce;
static_assert(kPasses == 4);  // rows whose 8-bit numbers fill a word
// Where there are more tiles, blocks of amax take several: each adds to the same maxima once.
constexpr int64_t kEnoughBlocks = 8192;

/// What a thread reads of a tile: rows first_row, first_row + step, ... Beyond the last row it
/// reads that one again, so that all reads are under way at once.
template <class Source>
struct RawRows {
  typename Source::Raw pass[kPasses];
  __device__ __forceinline__ void fetch(const Source& source, const Float8Problem& problem,
                                        int64_t first_row, int64_t step, int64_t column) {
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int64_t row = first_row + i * step;
      pass[i] = source.fetch(row < problem.rows ? row : problem.rows - 1, column);
    }
  }
};

/// Largest magnitude of each row and column of tiles one below the other, gridDim.y apart, into the
/// workspace: null where not wanted. With one scale for everything `rows` is one number.
template <class Source>
__global__ void __launch_bounds__(kThreads)
    amax(Float8Problem problem, Source source, unsigned* rows, unsigned* columns) {
  __shared__ unsigned column_most[kTile], known;
  const int across = threadIdx.x % kThreadsPerRow, down = threadIdx.x / kThreadsPerRow;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile + across * kQuad;
  int64_t top = static_cast<int64_t>(blockIdx.y) * kTile;
  const int64_t step = static_cast<int64_t>(gridDim.y) * kTile;
  RawRows<Source> raw;
  raw.fetch(source, problem, top + down, kRowsAtOnce, first);
  if (threadIdx.x < kTile) column_most[threadIdx.x] = 0;
  // What others have found already: whatever it is at this moment, the result is the same. All
  // blocks want this one word, so one thread of each reads it.
  if (threadIdx.x == 0) known = problem.rowwise ? 0 : *static_cast<const volatile unsigned*>(rows);
  source.begin(first);
  unsigned most[kQuad] = {};
  __syncthreads();
  unsigned everywhere = known;
  while (true) {
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const int64_t row = top + pass * kRowsAtOnce + down;
      unsigned of_row = 0;
      if (row < problem.rows) {
        Quad value;
        if (problem.rowwise) {
          source.compute(row, raw.pass[pass], All{}, value);
        } else {
          source.compute(row, raw.pass[pass], Larger{everywhere}, value);
        }
#pragma unroll
        for (int k = 0; k < kQuad; ++k) {
          const unsigned bits = magnitude_bits(value[k]);
          most[k] = max(most[k], bits);
          of_row = max(of_row, bits);
        }
      }
      everywhere = max(everywhere, of_row);
      if (!problem.rowwise || rows == nullptr) continue;
      for (int offset = kThreadsPerRow / 2; offset > 0; offset /= 2)
        of_row = max(of_row, __shfl_xor_sync(kAllLanes, of_row, offset));
      if (across == 0 && row < problem.rows) atomicMax(rows + row, of_row);
    }
    top += step;
    if (top >= problem.rows) break;
    raw.fetch(source, problem, top + down, kRowsAtOnce, first);
  }
  if (problem.rowwise) {
    if (columns == nullptr) return;
    for (int k = 0; k < kQuad; ++k) atomicMax(column_most + across * kQuad + k, most[k]);
    __syncthreads();
    const int64_t column = static_cast<int64_t>(blockIdx.x) * kTile + threadIdx.x;
    if (threadIdx.x < kTile && column < problem.columns)
      atomicMax(columns + column, column_most[threadIdx.x]);
    return;
  }
  everywhere = block_max<kThreads>(everywhere);
  if (threadIdx.x == 0 && everywhere > known) atomicMax(rows, everywhere);
}

/// kQuad numbers in 8 bits, the first one lowest.
template <Float8Format kFormat>
__device__ __forceinline__ std::uint32_t encode(const Quad& value, const Quad& scale) {
  constexpr auto kInto = kFormat == Float8Format::kE4m3 ? __NV_E4M3 : __NV_E5M2;
  const auto two = [&](int k) -> std::uint32_t {
    return __nv_cvt_float2_to_fp8x2(make_float2(value[k] * scale[k], value[k + 1] * scale[k + 1]),
                                    __NV_SATFINITE, kInto);
  };
  return two(0) | two(2) << 16;
}
__device__ __forceinline__ std::uint32_t byte_of(std::uint32_t word, int k) {
  return word >> (8 * k) & 0xFFU;
}

/// Rounds a tile into either copy or both; the transposed one goes through shared memory, so that
/// both are written along their rows.
template <Float8Format kFormat, class Source>
__global__ void __launch_bounds__(kThreads)
    cast(Float8Problem problem, Source source, Float8Outputs out, const float* row_amax,
         const float* column_amax) {
  // [column][row], four rows to a word; one word more spreads columns over banks.
  __shared__ std::uint32_t tile[kTile][kTile / kQuad + 1];
  const bool rowwise = problem.rowwise;
  const int across = threadIdx.x % kThreadsPerRow, down = threadIdx.x / kThreadsPerRow;
  const int64_t left = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t top = static_cast<int64_t>(blockIdx.y) * kTile;
  const int64_t first = left + across * kQuad;
  const int64_t first_row = top + down * kPasses;
  // All that is read, before anything is worked on: memory is waited for once.
  RawRows<Source> raw;
  raw.fetch(source, problem, first_row, 1, first);
  float row_most[kPasses] = {}, column_most[kQuad] = {};
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass)
    if (rowwise && out.by_row != nullptr && first_row + pass < problem.rows)
      row_most[pass] = row_amax[first_row + pass];
#pragma unroll
  for (int k = 0; k < kQuad; ++k)
    if (rowwise && out.by_column != nullptr && first + k < problem.columns)
      column_most[k] = column_amax[first + k];
  source.begin(first);
  const float everywhere = rowwise ? 0.0F : float8_scale(row_amax[0], kFormat, false);
  Quad column_scale;
#pragma unroll
  for (int k = 0; k < kQuad; ++k) {
    column_scale[k] = rowwise ? float8_scale(column_most[k], kFormat, true) : everywhere;
    if (out.by_column != nullptr && first + k < problem.columns && blockIdx.y == 0 && down == 0 &&
        (rowwise || first + k == 0))
      out.column_inverse[first + k] = 1.0F / column_scale[k];
  }
  std::uint32_t down_column[kQuad] = {};  // kPasses neighbours of each column
#pragma unroll
  for (int pass = 0; pass < kPasses; ++pass) {
    const int64_t row = first_row + pass;
    if (row >= problem.rows) break;
    Quad value;
    source.compute(row, raw.pass[pass], All{}, value);
    std::uint32_t q = 0;
    if (out.by_row != nullptr) {
      const float scale = rowwise ? float8_scale(row_most[pass], kFormat, true) : everywhere;
      q = encode<kFormat>(value, {scale, scale, scale, scale});
      std::uint8_t* to = out.by_row + row * problem.columns + first;
      if constexpr (Source::kWhole) {
        if (first < problem.columns) *reinterpret_cast<std::uint32_t*>(to) = q;
      } else {
        for (int k = 0; k < kQuad; ++k)
          if (first + k < problem.columns) to[k] = static_cast<std::uint8_t>(byte_of(q, k));
      }
      if (first == 0 && (rowwise || row == 0)) out.row_inverse[row] = 1.0F / scale;
    }
    if (out.by_column != nullptr) {
      // One scale for everything: the same numbers.
      if (rowwise || out.by_row == nullptr) q = encode<kFormat>(value, column_scale);
      for (int k = 0; k < kQuad; ++k) down_column[k] |= byte_of(q, k) << (8 * pass);
    }
  }
  if (out.by_column == nullptr) return;
  for (int k = 0; k < kQuad; ++k) tile[across * kQuad + k][down] = down_column[k];
  __syncthreads();
  // Now a thread's neighbours are kQuad rows of one column.
  for (int pass = 0; pass < kPasses; ++pass) {
    const int column = pass * kRowsAtOnce + down;
    const int64_t row = top + across * kQuad;
    if (left + column >= problem.columns) continue;
    std::uint8_t* q = out.by_column + (left + column) * out.column_stride + row;
    if (out.column_stride % kQuad == 0) {
      if (row < out.column_stride) *reinterpret_cast<std::uint32_t*>(q) = tile[column][across];
    } else {
      for (int k = 0; k < kQuad; ++k)
        if (row + k < out.column_stride)
          q[k] = static_cast<std::uint8_t>(byte_of(tile[column][across], k));
    }
  }
}

template <class Source>
void launch(const Float8Problem& problem, const Source& source, bool has_amax,
            const Float8Outputs& out, cudaStream_t stream) {
  const bool rowwise = problem.rowwise;
  const bool take_rows = !has_amax && (!rowwise || out.by_row != nullptr);
  const bool take_columns = rowwise && out.by_column != nullptr;
  const float *row_amax = out.workspace, *column_amax = out.workspace + problem.rows;
  auto* const bits = reinterpret_cast<unsigned*>(out.workspace);
  if (take_rows || take_columns) {
    const int64_t kept = take_rows ? 0 : problem.rows;
    cudaMemsetAsync(out.workspace + kept, 0,
                    static_cast<std::size_t>(float8_workspace_size(problem) - kept) * sizeof(float),
                    stream);
    dim3 grid(blocks_for(problem.columns, kTile), blocks_for(problem.rows, kTile));
    grid.y = std::min(grid.y, blocks_for(kEnoughBlocks, grid.x));
    launch_kernel(amax<Source>, grid, kThreads, stream, problem, source, take_rows ? bits : nullptr,
                  take_columns ? bits + problem.rows : nullptr);
  }
  // The zeros beyond the last row are a tile of their own where the rows fill theirs.
  const int64_t height = out.by_column == nullptr ? problem.rows : out.column_stride;
  const dim3 all(blocks_for(problem.columns, kTile), blocks_for(height, kTile));
  const auto kernel = problem.format == Float8Format::kE4m3 ? cast<Float8Format::kE4m3, Source>
                                                            : cast<Float8Format::kE5m2, Source>;
  launch_kernel(kernel, all, kThreads, stream, problem, source, out, row_amax, column_amax);
}

}  // namespace

void float8_quantize(const Float8Problem& problem, const Float8Source& source,
                     const Float8Outputs& out, CUstream_st* stream) {
  if (problem.rows * problem.columns == 0) return;
  with_source(problem, source,
              [&](const auto& from) { launch(problem, from, source.has_amax, out, stream); });
}

}  // namespace titan::kernels::cuda
