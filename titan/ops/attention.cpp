#include "titan/ops/attention.h"

#include <ATen/ATen.h>

#include "titan/base/check.h"
#include "titan/ops/backend.h"
#include "titan/ops/reference.h"

namespace titan::ops {

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  TITAN_CHECK(q.dim() == 4 && k.dim() == 4 && k.sizes() == v.sizes() && q.size(0) == k.size(0) &&
                  q.size(3) == k.size(3) && k.size(2) > 0 && q.size(2) % k.size(2) == 0,
              "[attention] q must be [B, N, H, D_head], k and v [B, M, H_kv, D_head] with H_kv "
              "dividing H (q=",
              q.sizes(), ", k=", k.sizes(), ", v=", v.sizes(), ")");
  if (backend() == Backend::kReference) return reference::attention(q, k, v);
  return at::scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
                                          /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/false,
                                          /*scale=*/std::nullopt,
                                          /*enable_gqa=*/q.size(2) != k.size(2))
      .transpose(1, 2);
}

}  // namespace titan::ops
