#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include "titan/kernels/float8.h"

namespace titan::kernels::cuda {
namespace {

constexpr int kTile = 64;      // rows and columns of x that a block takes
constexpr int kThreads = 256;  // a thread takes kVec neighbours of kPasses rows
constexpr int kVec = 4;
constexpr int kThreadsPerRow = kTile / kVec;
constexpr int kRowsAtOnce = kThreads / kThreadsPerRow;
constexpr int kPasses = kTile / kRowsAtOnce;
constexpr int kTilePitch = kTile + 4;  // bytes: keeps words aligned, spreads columns over banks
constexpr unsigned kAll = 0xFFFFFFFFU;

template <class T>
struct alignas(sizeof(T) * kVec) Pack {
  T item[kVec];
};

__device__ float to_float(float value) { return value; }
__device__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

/// Columns first .. first + kVec - 1 of a row; zero beyond its end.
template <bool kWhole, class T>
__device__ void load(const T* row, int64_t first, int64_t columns, float (&to)[kVec]) {
  if constexpr (kWhole) {
    if (first < columns) {
      const Pack<T> pack = *reinterpret_cast<const Pack<T>*>(row + first);
      for (int k = 0; k < kVec; ++k) to[k] = to_float(pack.item[k]);
    } else {
      for (int k = 0; k < kVec; ++k) to[k] = 0.0F;
    }
  } else {
    for (int k = 0; k < kVec; ++k) to[k] = first + k < columns ? to_float(row[first + k]) : 0.0F;
  }
}

/// Bits of |x|: among them the order of integers is that of the numbers, NaN above all. So an
/// atomic maximum gives the same bits in any order.
__device__ unsigned magnitude_bits(float x) { return __float_as_uint(x) & 0x7FFFFFFFU; }

/// Largest |x| of each row and column of a tile, into the workspace. One read of x for both.
template <bool kWhole, class T>
__global__ void amax(Float8Problem problem, const T* x, unsigned* rows, unsigned* columns) {
  __shared__ unsigned column_most[kTile];
  __shared__ unsigned tile_most;
  if (threadIdx.x < kTile) column_most[threadIdx.x] = 0;
  if (threadIdx.x == 0) tile_most = 0;
  __syncthreads();
  const int across = threadIdx.x % kThreadsPerRow, down = threadIdx.x / kThreadsPerRow;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile + across * kVec;
  unsigned most[kVec] = {};
  unsigned everywhere = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const int64_t row = static_cast<int64_t>(blockIdx.y) * kTile + pass * kRowsAtOnce + down;
    unsigned of_row = 0;
    if (row < problem.rows) {
      float value[kVec];
      load<kWhole>(x + row * problem.columns, first, problem.columns, value);
      for (int k = 0; k < kVec; ++k) {
        const unsigned bits = magnitude_bits(value[k]);
        most[k] = max(most[k], bits);
        of_row = max(of_row, bits);
      }
    }
    everywhere = max(everywhere, of_row);
    if (!problem.rowwise || rows == nullptr) continue;
    for (int offset = kThreadsPerRow / 2; offset > 0; offset /= 2)
      of_row = max(of_row, __shfl_xor_sync(kAll, of_row, offset));
    if (across == 0 && row < problem.rows) atomicMax(rows + row, of_row);
  }
  if (problem.rowwise) {
    if (columns == nullptr) return;
    for (int k = 0; k < kVec; ++k) atomicMax(column_most + across * kVec + k, most[k]);
    __syncthreads();
    const int64_t column = static_cast<int64_t>(blockIdx.x) * kTile + threadIdx.x;
    if (threadIdx.x < kTile && column < problem.columns)
      atomicMax(columns + column, column_most[threadIdx.x]);
    return;
  }
  everywhere = __reduce_max_sync(kAll, everywhere);
  if (threadIdx.x % 32 == 0) atomicMax(&tile_most, everywhere);
  __syncthreads();
  if (threadIdx.x == 0) atomicMax(rows, tile_most);
}

template <Float8Format kFormat>
__device__ std::uint8_t encode(float value) {
  return __nv_cvt_float_to_fp8(value, __NV_SATFINITE,
                               kFormat == Float8Format::kE4m3 ? __NV_E4M3 : __NV_E5M2);
}

/// Rounds a tile into either copy or both; the transposed one goes through shared memory, so that
/// both are written along their rows.
template <Float8Format kFormat, bool kWhole, class T>
__global__ void cast(Float8Problem problem, const T* x, Float8Outputs out, const float* row_amax,
                     const float* column_amax) {
  __shared__ alignas(4) std::uint8_t tile[kTile][kTilePitch];  // [column][row]
  const bool rowwise = problem.rowwise;
  const int across = threadIdx.x % kThreadsPerRow, down = threadIdx.x / kThreadsPerRow;
  const int64_t left = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t top = static_cast<int64_t>(blockIdx.y) * kTile;
  const int64_t first = left + across * kVec;
  float column_scale[kVec];
  for (int k = 0; k < kVec; ++k) {
    const bool inside = out.by_column != nullptr && first + k < problem.columns;
    column_scale[k] =
        inside ? float8_scale(rowwise ? column_amax[first + k] : row_amax[0], kFormat, rowwise)
               : 0.0F;
    if (inside && blockIdx.y == 0 && down == 0 && (rowwise || first + k == 0))
      out.column_inverse[first + k] = 1.0F / column_scale[k];
  }
  for (int pass = 0; pass < kPasses; ++pass) {
    const int64_t row = top + pass * kRowsAtOnce + down;
    const bool inside = row < problem.rows;
    float value[kVec] = {};
    if (inside) load<kWhole>(x + row * problem.columns, first, problem.columns, value);
    if (out.by_row != nullptr && inside) {
      const float scale = float8_scale(row_amax[rowwise ? row : 0], kFormat, rowwise);
      std::uint8_t* q = out.by_row + row * problem.columns + first;
      Pack<std::uint8_t> pack;
      for (int k = 0; k < kVec; ++k) pack.item[k] = encode<kFormat>(value[k] * scale);
      if (kWhole) {
        if (first < problem.columns) *reinterpret_cast<Pack<std::uint8_t>*>(q) = pack;
      } else {
        for (int k = 0; k < kVec; ++k)
          if (first + k < problem.columns) q[k] = pack.item[k];
      }
      if (first == 0 && (rowwise || row == 0)) out.row_inverse[row] = 1.0F / scale;
    }
    if (out.by_column != nullptr) {
      for (int k = 0; k < kVec; ++k)
        tile[across * kVec + k][pass * kRowsAtOnce + down] =
            inside ? encode<kFormat>(value[k] * column_scale[k]) : std::uint8_t{0};
    }
  }
  if (out.by_column == nullptr) return;
  __syncthreads();
  // Now a thread's neighbours are kVec rows of one column.
  for (int pass = 0; pass < kPasses; ++pass) {
    const int column = pass * kRowsAtOnce + down;
    const int64_t row = top + across * kVec;
    if (left + column >= problem.columns) continue;
    std::uint8_t* q = out.by_column + (left + column) * out.column_stride + row;
    if (out.column_stride % kVec == 0) {
      if (row < out.column_stride)
        *reinterpret_cast<std::uint32_t*>(q) =
            *reinterpret_cast<const std::uint32_t*>(&tile[column][across * kVec]);
    } else {
      for (int k = 0; k < kVec; ++k)
        if (row + k < out.column_stride) q[k] = tile[column][across * kVec + k];
    }
  }
}

template <bool kWhole, class T>
void launch(const Float8Problem& problem, const T* x, const Float8Outputs& out,
            cudaStream_t stream) {
  const auto tiles = [](int64_t count) {
    return static_cast<unsigned>((count + kTile - 1) / kTile);
  };
  auto* const row_bits = reinterpret_cast<unsigned*>(out.workspace);
  unsigned* const column_bits = row_bits + problem.rows;
  const dim3 grid(tiles(problem.columns), tiles(problem.rows));
  amax<kWhole><<<grid, kThreads, 0, stream>>>(
      problem, x, problem.rowwise && out.by_row == nullptr ? nullptr : row_bits,
      out.by_column == nullptr ? nullptr : column_bits);
  // The zeros beyond the last row are a tile of their own where the rows fill theirs.
  const int64_t height = out.by_column == nullptr ? problem.rows : out.column_stride;
  const dim3 all(tiles(problem.columns), tiles(height));
  const float *row_amax = out.workspace, *column_amax = out.workspace + problem.rows;
  if (problem.format == Float8Format::kE4m3) {
    cast<Float8Format::kE4m3, kWhole>
        <<<all, kThreads, 0, stream>>>(problem, x, out, row_amax, column_amax);
  } else {
    cast<Float8Format::kE5m2, kWhole>
        <<<all, kThreads, 0, stream>>>(problem, x, out, row_amax, column_amax);
  }
}

template <class T>
void launch_for(const Float8Problem& problem, const void* x, const Float8Outputs& out,
                cudaStream_t stream) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(x) % (kVec * sizeof(T)) == 0;
  if (problem.columns % kVec == 0 && aligned) {
    launch<true>(problem, static_cast<const T*>(x), out, stream);
  } else {
    launch<false>(problem, static_cast<const T*>(x), out, stream);
  }
}

}  // namespace

void float8_quantize(const Float8Problem& problem, const void* x, const Float8Outputs& out,
                     CUstream_st* stream) {
  if (problem.rows * problem.columns == 0) return;
  const auto bytes = static_cast<std::size_t>(float8_workspace_size(problem)) * sizeof(float);
  cudaMemsetAsync(out.workspace, 0, bytes, stream);
  if (problem.storage == StorageType::kFloat32) {
    launch_for<float>(problem, x, out, stream);
  } else {
    launch_for<__nv_bfloat16>(problem, x, out, stream);
  }
}

}  // namespace titan::kernels::cuda
