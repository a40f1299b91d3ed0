// random_weights.h: safetensors files of random weights, a pure function of seed and names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// A float32 tensor and how its values are drawn.
struct RandomTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  double deviation = 0;  ///< normal with mean 0; 0 means every value is `constant`
  float constant = 0;
};

/// Writes the tensors in this order. Element i of a tensor is draw i of (seed, XXH3-64 of its
/// name), as models draw their parameters.
Status write_random_weights(const std::string& path, const std::vector<RandomTensor>& tensors,
                            std::uint64_t seed);

}  // namespace titan
