// elementwise.h: SwiGLU, GELU, rotary embedding and the gated residual, forward and backward.
// float32 or bfloat16 storage, float32 arithmetic; all tensors contiguous where no stride is given.
#pragma once

#include <cstdint>

#include "titan/kernels/storage.h"

struct CUstream_st;

namespace titan::kernels {

/// Rows of `columns` elements each; a row of x (and its gradient) starts x_stride elements behind
/// the last, a row of the output (and its gradient) out_stride.
struct GeluProblem {
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t x_stride = 0;
  int64_t out_stride = 0;
  StorageType storage = StorageType::kFloat32;
};

struct RopeProblem {
  int64_t batch = 0;
  int64_t tokens = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;  ///< even
  bool inverse = false;  ///< turn back: the backward of the rotation
  StorageType storage = StorageType::kFloat32;
};

struct ResidualProblem {
  int64_t batch = 0;
  int64_t tokens = 0;
  int64_t dim = 0;
  int64_t gate_stride = 0;  ///< elements from one sample's gate to the next
  StorageType storage = StorageType::kFloat32;
};

namespace cpu {

/// out = silu(a) * b over `count` elements (Shazeer 2020, arXiv:2002.05202). Reads 2, writes 1.
void swiglu_forward(StorageType storage, int64_t count, const void* a, const void* b, void* out);
/// Gradients of a and b from grad (of out). Reads 3, writes 2.
void swiglu_backward(StorageType storage, int64_t count, const void* grad, const void* a,
                     const void* b, void* grad_a, void* grad_b);

/// out = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) (Hendrycks & Gimpel 2016,
/// arXiv:1606.08415). Reads 1, writes 1.
void gelu_forward(const GeluProblem& problem, const void* x, void* out);
/// Gradient of x from grad (of out). Reads 2, writes 1.
void gelu_backward(const GeluProblem& problem, const void* grad, const void* x, void* grad_x);

/// Turns each pair (x[2i], x[2i+1]) of x [batch, tokens, heads, head_dim] by the angle whose cosine
/// and sine are table[token, i, 0..1], float32 (Su et al. 2021, arXiv:2104.09864). Reads 1,
/// writes 1.
void rope(const RopeProblem& problem, const void* x, const float* table, void* out);

/// out = x + gate * branch, gate [batch, dim] of the same type. Reads 2, writes 1.
void gated_residual_forward(const ResidualProblem& problem, const void* x, const void* branch,
                            const void* gate, void* out);
/// grad_branch = gate * grad; grad_gate [batch, dim] float32 = sum over tokens of grad * branch.
/// The gradient of x is grad.
void gated_residual_backward(const ResidualProblem& problem, const void* grad, const void* branch,
                             const void* gate, void* grad_branch, float* grad_gate);

}  // namespace cpu

namespace cuda {

// As on the CPU, on the device of `stream`. 16 bytes a thread where every pointer, width and stride
// allows it, else element by element (rope: pair by pair). Blocks of 256 threads: swiglu and gelu
// over packs, rope and the residual a block a row. The residual's backward sums 16 rows a block of
// columns, then those sums in order.

void swiglu_forward(StorageType storage, int64_t count, const void* a, const void* b, void* out,
                    CUstream_st* stream);
void swiglu_backward(StorageType storage, int64_t count, const void* grad, const void* a,
                     const void* b, void* grad_a, void* grad_b, CUstream_st* stream);
void gelu_forward(const GeluProblem& problem, const void* x, void* out, CUstream_st* stream);
void gelu_backward(const GeluProblem& problem, const void* grad, const void* x, void* grad_x,
                   CUstream_st* stream);
void rope(const RopeProblem& problem, const void* x, const float* table, void* out,
          CUstream_st* stream);
void gated_residual_forward(const ResidualProblem& problem, const void* x, const void* branch,
                            const void* gate, void* out, CUstream_st* stream);
/// Floats that `partial` needs.
int64_t gated_residual_partial_size(const ResidualProblem& problem);
void gated_residual_backward(const ResidualProblem& problem, const void* grad, const void* branch,
                             const void* gate, void* grad_branch, float* grad_gate, float* partial,
                             CUstream_st* stream);

}  // namespace cuda

}  // namespace titan::kernels
