// read_weights.h: all weights at a path as tensors. Include tests/support/catch.h first.
#pragma once

#include <map>
#include <string>

#include "titan/checkpoint/weight_source.h"
#include "titan/data/tensor_file.h"

namespace titan::testing {

/// What WeightSource finds at `path`, verified and read whole.
inline StatusOr<std::map<std::string, at::Tensor>> read_weights(const std::string& path,
                                                                const std::string& prefix) {
  TITAN_ASSIGN_OR_RETURN(const auto source, checkpoint::WeightSource::open(path, prefix));
  TITAN_RETURN_IF_ERROR(source->verify());
  std::map<std::string, at::Tensor> weights;
  for (const TensorSpec& spec : source->tensors()) {
    at::Tensor values = at::empty(spec.shape, scalar_type_of(spec.type));
    TITAN_RETURN_IF_ERROR(source->read(spec.name, 0, values.numel(), values.mutable_data_ptr()));
    weights[spec.name] = std::move(values);
  }
  return weights;
}

}  // namespace titan::testing
