// ops: tensors in, tensors out, differentiable. Each op is a dispatcher schema (titan::x) with its
// kernels and its derivative, beside the same mathematics in plain ATen (reference.h). Shapes are
// checked here. Knows no models.
//
// backend.h: which of the two runs.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "titan/base/status.h"

namespace titan::ops {

enum class Backend { kFused, kReference };

/// Chooses for every op of the process; the first question in any doubt about numerics
/// (kernels.backend).
void set_backend(Backend backend);
/// "fused" or "reference".
Status set_backend(const std::string& name);
Backend backend();

/// Whether our kernel of `schema` ("titan::rope") serves this tensor: backend kFused, float32 or
/// bfloat16, and a kernel for its device registered. Otherwise the reference runs.
bool use_fused(const at::Tensor& x, const char* schema);

}  // namespace titan::ops
