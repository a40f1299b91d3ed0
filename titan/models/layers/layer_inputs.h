// layer_inputs.h: operations that make what linear layers multiply. Where all layers that read a
// result are in 8 bits, it is rounded once for all of them, by the operation that makes it
// (ops/float8_fused.h); else they get a tensor. The numbers are the same, bit by bit.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/models/layers/linear.h"
#include "titan/ops/modulate_norm.h"
#include "titan/ops/stream_attention.h"
#include "titan/protocols/block.h"

namespace titan::models {

/// The layers that read a result.
using Readers = std::vector<const Linear*>;

/// x itself, rounded if it is to be and is not.
LinearInput input_for(const Readers& readers, const LinearInput& x);

/// Closes `open`, if it is, into x; gives x normalised and modulated.
LinearInput normed_for(const Readers& readers, at::Tensor& x, Residual& open, const ops::Norm& norm,
                       const ops::Modulation& modulation);

/// gelu(x).
LinearInput gelu_for(const Linear& reader, const at::Tensor& x);

/// silu(a) * b.
LinearInput swiglu_for(const Linear& reader, const at::Tensor& a, const at::Tensor& b);

/// The inside of a parallel block (ops::parallel_attention).
LinearInput parallel_attention_for(const Linear& reader, const at::Tensor& y,
                                   const at::Tensor& q_scale, const at::Tensor& k_scale,
                                   const ops::StreamAttention& options);

}  // namespace titan::models
