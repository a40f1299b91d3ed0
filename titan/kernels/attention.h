// attention.h: full softmax attention on the CPU, blocked so that the scores of some rows stay in
// cache, products at the speed of a matrix product.
//
//   out = softmax(scale * q k^T) v     logsumexp = log of the softmax's denominator, per row
//
// q, out [batch, queries, heads, head_dim]; k, v [batch, keys, kv_heads, head_dim]; logsumexp
// [batch, heads, queries]; all contiguous float32. Each key/value head serves heads / kv_heads
// consecutive query heads. Backward makes the scores again from q, k and logsumexp (Dao et al.
// 2022, arXiv:2205.14135). Sums are taken in a fixed order. FLOPs: forward 4 N M D a head, backward
// 10 N M D.
#pragma once

#include <cstdint>

namespace titan::kernels {

struct AttentionProblem {
  int64_t batch = 0;
  int64_t queries = 0;
  int64_t keys = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  float scale = 1.0F;
};

struct AttentionForward {
  const float *q = nullptr, *k = nullptr, *v = nullptr;
  float* out = nullptr;
  float* logsumexp = nullptr;
};

struct AttentionBackward {
  const float* grad = nullptr;
  /// Floats between samples and between tokens of grad, whose heads lie side by side.
  int64_t grad_batch_step = 0, grad_token_step = 0;
  const float *q = nullptr, *k = nullptr, *v = nullptr, *out = nullptr;
  const float* logsumexp = nullptr;
  float *grad_q = nullptr, *grad_k = nullptr, *grad_v = nullptr;
};

namespace cpu {
void attention_forward(const AttentionProblem& problem, const AttentionForward& io);
void attention_backward(const AttentionProblem& problem, const AttentionBackward& io);
}  // namespace cpu

}  // namespace titan::kernels
