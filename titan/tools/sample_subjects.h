// sample_subjects.h: what `titan sample` draws: classes, or prompts as their encodings.
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/protocols/model_spec.h"
#include "titan/tools/sample_request.h"
#include "titan/tools/shape_wish.h"
#include "titan/train/sampling.h"

namespace titan {

struct Subjects {
  SamplePlan plan;
  std::vector<std::string> labels;  ///< of each picture: a class or a prompt

  /// What --check-shapes looks for in each picture.
  std::vector<ShapeWish> wishes() const;
};

/// Prompts come from --prompt, --prompts, --encodings, sampling.prompts, or the run's first
/// samples. `encoder` is null where the run has none: then an error says how to get it, if texts
/// are to be encoded.
StatusOr<Subjects> find_subjects(const SampleRequest& request, const ModelSpec& spec,
                                 const DataShape& shape, const BatchEncoder* encoder);

}  // namespace titan
