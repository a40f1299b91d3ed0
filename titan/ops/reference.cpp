#include "titan/ops/reference.h"

#include <cmath>

#include <ATen/ATen.h>

namespace titan::ops::reference {
namespace {

/// float32 for narrower types, else unchanged.
at::Tensor widen(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf ? x.to(at::kFloat) : x;
}

}  // namespace

at::Tensor modulate_norm(const at::Tensor& x, const Norm& norm, const Modulation& modulation) {
  const at::Tensor wide = widen(x);
  const at::Tensor centred = norm.rms ? wide : wide - wide.mean(-1, /*keepdim=*/true);
  at::Tensor y = centred * at::rsqrt(centred.square().mean(-1, /*keepdim=*/true) + norm.eps);
  if (norm.weight.defined()) y = y * norm.weight;
  if (norm.bias.defined()) y = y + norm.bias;
  if (modulation.scale.defined()) y = y * (1 + widen(modulation.scale).unsqueeze(1));
  if (modulation.shift.defined()) y = y + modulation.shift.unsqueeze(1);
  return y.to(x.scalar_type());
}

ResidualNorm residual_modulate_norm(const at::Tensor& x, const at::Tensor& branch,
                                    const at::Tensor& gate, const Norm& norm,
                                    const Modulation& modulation) {
  const at::Tensor h = gate.defined() ? reference::gated_residual(x, branch, gate)
                                      : (widen(x) + branch).to(x.scalar_type());
  return {h, reference::modulate_norm(h, norm, modulation)};
}

at::Tensor gated_residual(const at::Tensor& x, const at::Tensor& branch, const at::Tensor& gate) {
  return (widen(x) + widen(gate).unsqueeze(1) * widen(branch)).to(x.scalar_type());
}

at::Tensor mse(const at::Tensor& prediction, const at::Tensor& target) {
  return (widen(prediction) - widen(target)).square().unsqueeze(-1).flatten(1).mean(1);
}

at::Tensor swiglu(const at::Tensor& a, const at::Tensor& b) {
  return (at::silu(widen(a)) * widen(b)).to(a.scalar_type());
}

at::Tensor gelu(const at::Tensor& x) {
  return at::gelu(widen(x), /*approximate=*/"tanh").to(x.scalar_type());
}

at::Tensor rope(const at::Tensor& x, const at::Tensor& table) {
  const at::Tensor pairs = widen(x).unflatten(-1, {-1, 2});
  const at::Tensor turn = table.to(pairs.scalar_type()).unsqueeze(1);  // [tokens, 1, pairs, 2]
  const at::Tensor cosine = turn.select(-1, 0), sine = turn.select(-1, 1);
  const at::Tensor even = pairs.select(-1, 0), odd = pairs.select(-1, 1);
  return at::stack({even * cosine - odd * sine, even * sine + odd * cosine}, -1)
      .flatten(-2)
      .to(x.scalar_type());
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const int64_t repeats = q.size(2) / k.size(2);
  const auto by_head = [](const at::Tensor& x, int64_t times) {
    return widen(times == 1 ? x : x.repeat_interleave(times, 2)).transpose(1, 2);
  };
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  const at::Tensor scores =
      at::matmul(by_head(q, 1), by_head(k, repeats).transpose(-2, -1)) * scale;
  return at::matmul(at::softmax(scores, -1), by_head(v, repeats))
      .transpose(1, 2)
      .to(q.scalar_type());
}

}  // namespace titan::ops::reference
