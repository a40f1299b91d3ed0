// prompts.h: encoded prompts to sample from, for models that are conditioned on text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/data/batch.h"
#include "titan/data/dataset.h"
#include "titan/protocols/batch_encoder.h"

namespace titan {

/// n prompts: what their samples or a file say of them, [n, ...] each, on the CPU.
struct EncodedPrompts {
  NamedTensors fields;
  std::vector<std::string> labels;  ///< n: captions, or names of the samples
};

/// The prompts of the first `count` samples in stored order (fewer where there are no more); their
/// captions are encoded by `encoder` (null = none) where the samples are not.
StatusOr<EncodedPrompts> read_prompts(const Dataset& dataset, int64_t count,
                                      const BatchEncoder* encoder);

/// `count` prompts: `texts`, repeated as needed. An error without an encoder of text.
StatusOr<EncodedPrompts> encode_prompts(const std::vector<std::string>& texts, int64_t count,
                                        const BatchEncoder* encoder);

/// A safetensors file whose tensors are the fields ("t5_encodings" [n, L, C], "clip_encodings"
/// [n, P]): the first `count` rows of each. Errors: tensors of different length, none at all.
StatusOr<EncodedPrompts> load_prompts(const std::string& path, int64_t count);

}  // namespace titan
