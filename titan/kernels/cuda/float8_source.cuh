// float8_source.cuh: where float8.cu's numbers come from (Float8Source), as device functors. A
// thread reads kQuad neighbouring columns of some rows: fetch() asks memory for them, of all rows
// before the first is worked on, so that memory is waited for once. begin() says which columns they
// are, compute() makes a row's numbers of them, zero beyond the last column. Device code only.
#pragma once

#include "titan/kernels/cuda/fused_math.cuh"
#include "titan/kernels/cuda/pack.cuh"
#include "titan/kernels/float8.h"

namespace titan::kernels::cuda {

constexpr int kQuad = 4;
using Quad = float[kQuad];

template <class T>
using QuadPack = Words<T, kQuad>;

/// Columns first .. first + kQuad - 1 of a row of `columns`; zero beyond its end. kWhole: kQuad
/// divides `columns` and the row begins at such a boundary.
template <bool kWhole, class T>
__device__ __forceinline__ QuadPack<T> fetch_quad(const T* row, int64_t first, int64_t columns) {
  QuadPack<T> to = {};
  if constexpr (kWhole) {
    if (first < columns) to = *reinterpret_cast<const QuadPack<T>*>(row + first);
  } else {
#pragma unroll
    for (int k = 0; k < kQuad; ++k)
      if (first + k < columns) to.set(k, row[first + k]);
  }
  return to;
}
template <class T>
__device__ __forceinline__ void widen(const QuadPack<T>& from, Quad& to) {
#pragma unroll
  for (int k = 0; k < kQuad; ++k) to[k] = from.get(k);
}

/// Rows of an array.
template <class T, bool kWhole>
struct Rows {
  const T* data = nullptr;
  int64_t stride = 0, columns = 0;

  __device__ __forceinline__ QuadPack<T> fetch(int64_t row, int64_t first) const {
    return fetch_quad<kWhole>(data + row * stride, first, columns);
  }
};

/// What compute() is asked for: every number, or those that may be larger than what is known, with
/// zero for others. Most numbers are not, so activations need not be computed where only a maximum
/// is sought: a bound tells. Four numbers are asked for together.
struct All {
  __device__ __forceinline__ bool wants(const Quad&) const { return true; }
};
struct Larger {
  unsigned most;  ///< magnitude_bits
  __device__ __forceinline__ bool wants(const Quad& bound) const {
    unsigned largest = 0;
#pragma unroll
    for (int k = 0; k < kQuad; ++k) largest = max(largest, magnitude_bits(bound[k]));
    // Of what is not finite a bound says nothing.
    return largest > most || largest >= magnitude_bits(INFINITY);
  }
};

template <class T, bool kWhole_>
struct Stored {
  static constexpr bool kWhole = kWhole_;
  using Raw = QuadPack<T>;
  Rows<T, kWhole> x;

  __device__ __forceinline__ Raw fetch(int64_t row, int64_t column) const {
    return x.fetch(row, column);
  }
  __device__ void begin(int64_t) {}
  template <class Wanted>
  __device__ __forceinline__ void compute(int64_t, const Raw& raw, Wanted, Quad& value) {
    widen(raw, value);
  }
};

template <class T, class Wanted>
__device__ __forceinline__ void activate(Wanted wanted, Quad& value) {
  Quad bound;
#pragma unroll
  for (int k = 0; k < kQuad; ++k) bound[k] = gelu_bound(value[k]);
  const bool compute = wanted.wants(bound);
#pragma unroll
  for (int k = 0; k < kQuad; ++k) value[k] = compute ? rounded<T>(gelu(value[k])) : 0.0F;
}

template <class T, bool kWhole_>
struct Activated {
  static constexpr bool kWhole = kWhole_;
  using Raw = QuadPack<T>;
  Rows<T, kWhole> x;

  __device__ __forceinline__ Raw fetch(int64_t row, int64_t column) const {
    return x.fetch(row, column);
  }
  __device__ void begin(int64_t) {}
  template <class Wanted>
  __device__ __forceinline__ void compute(int64_t, const Raw& raw, Wanted wanted, Quad& value) {
    widen(raw, value);
    activate<T>(wanted, value);  // gelu(0) is 0
  }
};

template <class T, bool kWhole_>
struct Gated {
  static constexpr bool kWhole = kWhole_;
  struct Raw {
    QuadPack<T> x, other;
  };
  Rows<T, kWhole> x, other;

  __device__ __forceinline__ Raw fetch(int64_t row, int64_t column) const {
    return {x.fetch(row, column), other.fetch(row, column)};
  }
  __device__ void begin(int64_t) {}
  template <class Wanted>
  __device__ __forceinline__ void compute(int64_t, const Raw& raw, Wanted wanted, Quad& value) {
    Quad factor, bound;
    widen(raw.x, value);
    widen(raw.other, factor);
#pragma unroll
    for (int k = 0; k < kQuad; ++k) bound[k] = swiglu_bound(value[k], factor[k]);
    const bool compute = wanted.wants(bound);
#pragma unroll
    for (int k = 0; k < kQuad; ++k)
      value[k] = compute ? rounded<T>(swiglu(value[k], factor[k])) : 0.0F;
  }
};

/// The columns of `left`, then gelu of those of x.
template <class T, bool kWhole_>
struct Beside {
  static constexpr bool kWhole = kWhole_;
  using Raw = QuadPack<T>;
  Rows<T, kWhole> left, x;
  int64_t behind = 0;  ///< where the columns begin, in x

  /// Whether that is in `left` for some of them and in x for others.
  __device__ static bool of_both(int64_t column_of_x) {
    return !kWhole && column_of_x < 0 && column_of_x > -kQuad;
  }
  __device__ __forceinline__ Raw fetch(int64_t row, int64_t column) const {
    const int64_t of_x = column - left.columns;
    Raw raw = of_x < 0 ? left.fetch(row, column) : x.fetch(row, of_x);
    if (of_both(of_x)) {
#pragma unroll
      for (int k = 0; k < kQuad; ++k)
        if (of_x + k >= 0 && of_x + k < x.columns) raw.set(k, x.data[row * x.stride + of_x + k]);
    }
    return raw;
  }
  __device__ void begin(int64_t column) { behind = column - left.columns; }
  template <class Wanted>
  __device__ __forceinline__ void compute(int64_t, const Raw& raw, Wanted wanted, Quad& value) {
    widen(raw, value);
    if (behind >= 0) activate<T>(wanted, value);
    if (!of_both(behind)) return;
#pragma unroll
    for (int k = 0; k < kQuad; ++k)
      if (behind + k >= 0) value[k] = rounded<T>(gelu(value[k]));
  }
};

/// The modulated norm. A thread holds its columns' parameters until another sample's rows begin.
template <class T, bool kWhole_>
struct Normed {
  static constexpr bool kWhole = kWhole_;
  struct Raw {
    QuadPack<T> h;
    float mean, rstd;
  };
  Rows<T, kWhole> h;
  NormParameters p;
  bool wide_parameters = false;  ///< float32
  int64_t tokens = 0;
  const float* mean = nullptr;
  const float* rstd = nullptr;
  int64_t first = 0, sample_end = 0;
  Quad weight, bias, scale, shift;

  __device__ __forceinline__ void parameter(const void* data, int64_t offset, float missing,
                                            Quad& to) const {
    if (data == nullptr) {
#pragma unroll
      for (int k = 0; k < kQuad; ++k) to[k] = missing;
    } else if (wide_parameters) {
      widen(fetch_quad<kWhole>(static_cast<const float*>(data) + offset, first, h.columns), to);
    } else {
      const auto* from = static_cast<const __nv_bfloat16*>(data) + offset;
      widen(fetch_quad<kWhole>(from, first, h.columns), to);
    }
  }
  __device__ __forceinline__ Raw fetch(int64_t row, int64_t column) const {
    return {h.fetch(row, column), mean == nullptr ? 0.0F : mean[row], rstd[row]};
  }
  __device__ void begin(int64_t column) {
    first = column;
    sample_end = 0;
    parameter(p.weight, 0, 1.0F, weight);
    parameter(p.bias, 0, 0.0F, bias);
  }
  /// Rows come in rising order.
  template <class Wanted>
  __device__ __forceinline__ void compute(int64_t row, const Raw& raw, Wanted, Quad& value) {
    if (row >= sample_end) {
      // Rows fit 32 bits, as a grid's height bounds them; a wide division costs as much as the
      // rest.
      const int64_t sample = static_cast<unsigned>(row) / static_cast<unsigned>(tokens);
      sample_end = (sample + 1) * tokens;
      parameter(p.scale.data, sample * p.scale.stride, 0.0F, scale);
      parameter(p.shift.data, sample * p.shift.stride, 0.0F, shift);
    }
    widen(raw.h, value);
#pragma unroll
    for (int k = 0; k < kQuad; ++k) {
      const float y = rounded<T>(
          modulated(value[k], raw.mean, raw.rstd, weight[k], bias[k], scale[k], shift[k]));
      value[k] = first + k < h.columns ? y : 0.0F;
    }
  }
};

/// Whether kQuad elements of T can be moved at once: null counts as an array that can.
template <class T>
bool in_quads(const void* data, int64_t stride) {
  return reinterpret_cast<std::uintptr_t>(data) % sizeof(QuadPack<T>) == 0 && stride % kQuad == 0;
}

template <class T>
bool source_in_quads(const Float8Problem& problem, const Float8Source& s) {
  bool all = problem.columns % kQuad == 0 && s.other_columns % kQuad == 0 &&
             in_quads<T>(s.x, s.x_stride) && in_quads<T>(s.other, s.other_stride);
  const SampleRows parameters[] = {{s.norm.weight}, {s.norm.bias}, s.norm.scale, s.norm.shift};
  for (const SampleRows& one : parameters) {
    all = all && (s.param_storage == StorageType::kFloat32
                      ? in_quads<float>(one.data, one.stride)
                      : in_quads<__nv_bfloat16>(one.data, one.stride));
  }
  return all;
}

/// Calls `launch` with the functor of a source.
template <class T, bool kWhole, class Launch>
void with_rows(const Float8Problem& problem, const Float8Source& s, Launch&& launch) {
  using R = Rows<T, kWhole>;
  const auto rows = [](const void* data, int64_t stride, int64_t columns) {
    return R{static_cast<const T*>(data), stride, columns};
  };
  const R x = rows(s.x, s.x_stride, problem.columns);
  switch (s.origin) {
    case Float8Origin::kStored:
      return launch(Stored<T, kWhole>{x});
    case Float8Origin::kGelu:
      return launch(Activated<T, kWhole>{x});
    case Float8Origin::kSwiGlu:
      return launch(Gated<T, kWhole>{x, rows(s.other, s.other_stride, problem.columns)});
    case Float8Origin::kBesideGelu:
      return launch(Beside<T, kWhole>{rows(s.other, s.other_stride, s.other_columns),
                                      rows(s.x, s.x_stride, problem.columns - s.other_columns)});
    case Float8Origin::kNormed:
      Normed<T, kWhole> normed;
      normed.h = x;
      normed.p = s.norm;
      normed.wide_parameters = s.param_storage == StorageType::kFloat32;
      normed.tokens = s.tokens;
      normed.mean = s.mean;
      normed.rstd = s.rstd;
      return launch(normed);
  }
}
template <class Launch>
void with_source(const Float8Problem& problem, const Float8Source& source, Launch&& launch) {
  with_type(problem.storage, [&](auto type) {
    using T = decltype(type);
    if (source_in_quads<T>(problem, source)) {
      with_rows<T, true>(problem, source, launch);
    } else {
      with_rows<T, false>(problem, source, launch);
    }
  });
}

}  // namespace titan::kernels::cuda
