// state_difference.h: how far apart two checkpoints are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

/// One group of tensors (weights, averages, a moment) of two checkpoints.
struct GroupDifference {
  std::string group;  ///< "model", "ema", "optim.exp_avg", "optim.exp_avg_sq"
  int64_t elements = 0;
  int64_t unequal = 0;     ///< elements whose bits differ
  double largest = 0;      ///< absolute difference; infinity where a number is compared with NaN
  std::string largest_in;  ///< the tensor with it
  double relative = 0;     ///< norm of the difference over norm of the reference
};

/// Compares two checkpoint folders (step-000100) tensor by tensor, whatever layout wrote them;
/// every byte is verified. A tensor that only one has, or of another shape, is an error that names
/// it.
StatusOr<std::vector<GroupDifference>> compare_states(const std::string& reference,
                                                      const std::string& other);

}  // namespace titan
