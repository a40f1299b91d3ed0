// gemm.h: the product of two float32 matrices on the CPU, from packed panels (Goto and van de Geijn
// 2008, "Anatomy of High-Performance Matrix Multiplication"; Van Zee and van de Geijn 2015, BLIS).
//
//   c[i, j] = (bias[j] or c[i, j] or 0) + sum over s of a(i, s) b(s, j)
//
// Every element is summed in one order, whatever the number of threads: same bits. FLOPs: 2 rows
// columns depth.
#pragma once

#include <cstdint>

namespace titan::kernels {

/// A matrix as a product reads it: element (i, s) lies at data[i * step + s * depth_step], i along
/// the result's dimension and s along the summed one. One of the steps is 1.
struct GemmOperand {
  const float* data = nullptr;
  int64_t step = 0;
  int64_t depth_step = 0;
};

struct GemmProblem {
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t depth = 0;
  GemmOperand a;  ///< rows x depth
  GemmOperand b;  ///< columns x depth
  float* c = nullptr;
  int64_t c_step = 0;           ///< between rows of c, whose columns are contiguous
  const float* bias = nullptr;  ///< [columns], or null; not with `accumulate`
  bool accumulate = false;      ///< adds to what c holds
  float* a_row_sums = nullptr;  ///< [rows], or null: receives the sum of each row of a
};

namespace cpu {
/// Computes c on OpenMP's threads. A depth of 0 gives the bias or zeros.
void gemm(const GemmProblem& problem);
/// Whether packing pays: below, LibTorch's product is as fast or faster. Always false for a
/// processor without AVX2.
bool gemm_pays(int64_t rows, int64_t columns, int64_t depth);
}  // namespace cpu

}  // namespace titan::kernels
