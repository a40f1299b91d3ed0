// stored_tensors.h: lists of stored tensors for tests of names. Include tests/support/catch.h
// first.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "titan/protocols/weight_formats.h"

namespace titan::testing {

using Tensors = std::vector<TensorSpec>;

inline TensorSpec& named(Tensors& tensors, const std::string& name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const TensorSpec& tensor) { return tensor.name == name; });
  REQUIRE(found != tensors.end());
  return *found;
}

/// The message of making `network`'s own tensors of these; "" where nothing is wrong.
inline std::string problem(const WeightFormats& formats, const Tensors& stored) {
  const std::string own = formats.names().front();
  const auto recipes = formats.recipes(stored, formats.detect(stored), own);
  return recipes.ok() ? "" : message_of(recipes.status());
}

}  // namespace titan::testing
