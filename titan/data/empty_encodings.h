// empty_encodings.h: the text encoders' outputs for the empty prompt, which stand for "no prompt".
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/base/status.h"

namespace titan {

struct EmptyEncodings {
  at::Tensor t5;    ///< [St, ctx] bfloat16
  at::Tensor clip;  ///< [pooled] bfloat16
};

/// Reads t5_empty.npy [n, St, ctx] and clip_empty.npy [n, pooled] of float16, float32 or the bits
/// of bfloat16 (uint16) from `folder` (encoder.empty_encodings_path) and takes their first rows, as
/// the MLPerf reference does. A missing folder or file is kNotFound and says how to get it; wrong
/// shapes, types and values that are not finite name the file.
StatusOr<EmptyEncodings> load_empty_encodings(const std::string& folder);

/// An error where they do not fit samples with these sizes of t5_encodings and clip_encodings.
Status check_empty_encodings(const EmptyEncodings& encodings, const std::vector<int64_t>& t5,
                             const std::vector<int64_t>& clip);

}  // namespace titan
