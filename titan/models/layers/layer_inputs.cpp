#include "titan/models/layers/layer_inputs.h"

#include <optional>
#include <utility>

#include "titan/models/layers/float8_layer.h"
#include "titan/ops/float8_fused.h"
#include "titan/ops/gelu.h"
#include "titan/ops/swiglu.h"

namespace titan::models {
namespace {

/// How all readers round what they read; nothing where they do not all round it, or not alike.
std::optional<ops::Float8Rounding> common_rounding(const Readers& readers) {
  if (readers.empty()) return std::nullopt;
  ops::Float8Rounding rounding{.by_column = false};
  for (const Linear* reader : readers) {
    if (!reader->float8 || !reader->float8->fuse_input) return std::nullopt;
    rounding.rowwise = readers.front()->float8->options.rowwise;
    if (reader->float8->options.rowwise != rounding.rowwise) return std::nullopt;
    rounding.by_column = rounding.by_column || reader->weight.requires_grad();
  }
  return rounding;
}

}  // namespace

LinearInput input_for(const Readers& readers, const LinearInput& x) {
  if (x.is_rounded()) return x;
  const auto rounding = common_rounding(readers);
  return rounding ? LinearInput(ops::float8_input(x.tensor(), *rounding)) : x;
}

LinearInput normed_for(const Readers& readers, at::Tensor& x, Residual& open, const ops::Norm& norm,
                       const ops::Modulation& modulation) {
  const auto rounding = common_rounding(readers);
  if (!open.branch.defined()) {
    if (rounding) return ops::float8_modulate_norm(x, norm, modulation, *rounding);
    return ops::modulate_norm(x, norm, modulation);
  }
  const Residual closing = std::exchange(open, {});
  if (rounding) {
    auto [h, y] = ops::float8_residual_modulate_norm(x, closing.branch, closing.gate, norm,
                                                     modulation, *rounding);
    x = std::move(h);
    return y;
  }
  auto [h, y] = ops::residual_modulate_norm(x, closing.branch, closing.gate, norm, modulation);
  x = std::move(h);
  return y;
}

LinearInput gelu_for(const Linear& reader, const at::Tensor& x) {
  if (const auto rounding = common_rounding({&reader})) return ops::float8_gelu(x, *rounding);
  return ops::gelu(x);
}

LinearInput swiglu_for(const Linear& reader, const at::Tensor& a, const at::Tensor& b) {
  if (const auto rounding = common_rounding({&reader})) return ops::float8_swiglu(a, b, *rounding);
  return ops::swiglu(a, b);
}

LinearInput parallel_attention_for(const Linear& reader, const at::Tensor& y,
                                   const at::Tensor& q_scale, const at::Tensor& k_scale,
                                   const ops::StreamAttention& options) {
  if (const auto rounding = common_rounding({&reader}))
    return ops::float8_parallel_attention(y, q_scale, k_scale, options, *rounding);
  return ops::parallel_attention(y, q_scale, k_scale, options);
}

}  // namespace titan::models
