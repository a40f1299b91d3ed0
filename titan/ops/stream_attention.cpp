#include "titan/ops/stream_attention.h"

#include <vector>

#include <ATen/ATen.h>

#include "titan/base/check.h"
#include "titan/ops/attention.h"
#include "titan/ops/gelu.h"
#include "titan/ops/modulate_norm.h"
#include "titan/ops/rope.h"
#include "titan/ops/stream_qkv.h"

namespace titan::ops {
namespace {

at::Tensor norm_and_turn(const at::Tensor& x, const at::Tensor& scale, double eps,
                         const at::Tensor& rope) {
  const at::Tensor normed =
      modulate_norm(x.flatten(1, 2), {.rms = true, .eps = eps, .weight = scale});
  return ops::rope(normed.view(x.sizes()), rope);
}

}  // namespace

void detail::check_streams(const at::Tensor& qkv, const at::Tensor& q_scale,
                           const at::Tensor& k_scale, const StreamAttention& options,
                           int64_t tokens) {
  const int64_t head_dim = 2 * options.rope.size(1);
  TITAN_CHECK(options.rope.dim() == 3 && options.rope.size(0) == tokens &&
                  options.rope.size(2) == 2 && options.rope.scalar_type() == at::kFloat,
              "[stream_attention] rope must be float32 [tokens, D_head / 2, 2] (rope=",
              options.rope.sizes(), ", tokens=", tokens, ")");
  TITAN_CHECK(qkv.dim() == 3 && qkv.size(2) >= 3 * options.heads * head_dim,
              "[stream_attention] projections must be [B, L, 3 H D_head] (projections=",
              qkv.sizes(), ", H=", options.heads, ", D_head=", head_dim, ")");
  for (const at::Tensor* scale : {&q_scale, &k_scale}) {
    TITAN_CHECK(scale->dim() == 1 && scale->size(0) == head_dim,
                "[stream_attention] norm scales must be [D_head] (scale=", scale->sizes(),
                ", D_head=", head_dim, ")");
  }
}

Heads separate_heads(const at::Tensor& qkv, const at::Tensor& q_scale, const at::Tensor& k_scale,
                     const StreamAttention& options, const at::Tensor& rope) {
  const std::vector<at::Tensor> part = qkv.unflatten(-1, {3, options.heads, -1}).unbind(2);
  return {norm_and_turn(part[0], q_scale, options.eps, rope),
          norm_and_turn(part[1], k_scale, options.eps, rope), part[2]};
}

StreamOutputs joint_attention(const StreamQkv& txt, const StreamQkv& img,
                              const StreamAttention& options) {
  const int64_t txt_tokens = txt.qkv.size(1), img_tokens = img.qkv.size(1);
  detail::check_streams(txt.qkv, txt.q_scale, txt.k_scale, options, txt_tokens + img_tokens);
  detail::check_streams(img.qkv, img.q_scale, img.k_scale, options, txt_tokens + img_tokens);
  TITAN_CHECK(txt.qkv.size(2) == img.qkv.size(2) && txt.qkv.size(0) == img.qkv.size(0),
              "[stream_attention] both streams need the same batch and width (txt=",
              txt.qkv.sizes(), ", img=", img.qkv.sizes(), ")");
  const Heads heads = joint_heads(txt, img, options);
  const at::Tensor out = attention(heads.q, heads.k, heads.v).flatten(2);
  // One node for both parts: its backward is one concatenation.
  const std::vector<at::Tensor> part = out.split_with_sizes({txt_tokens, img_tokens}, 1);
  return {part[0], part[1]};
}

at::Tensor parallel_attention(const at::Tensor& y, const at::Tensor& q_scale,
                              const at::Tensor& k_scale, const StreamAttention& options) {
  detail::check_streams(y, q_scale, k_scale, options, y.size(1));
  if (has_parallel_heads(y)) {
    const ParallelHeads parallel = parallel_heads(y, q_scale, k_scale, options);
    const Heads& heads = parallel.heads;
    return place_attended(parallel.inner, attention(heads.q, heads.k, heads.v).flatten(2));
  }
  const int64_t width = options.heads * q_scale.size(0);
  const std::vector<at::Tensor> part = y.split_with_sizes({3 * width, y.size(2) - 3 * width}, 2);
  const Heads heads = separate_heads(part[0], q_scale, k_scale, options, options.rope);
  return at::cat({attention(heads.q, heads.k, heads.v).flatten(2), ops::gelu(part[1])}, 2);
}

}  // namespace titan::ops
