// weight_problems.h: everything about a set of weights that does not fit, said at once. No torch.
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/safetensors.h"

namespace titan {

class WeightProblems {
 public:
  void add_missing(const std::string& name) { missing_.push_back(name); }
  void add_unknown(const std::string& name) { unknown_.push_back(name); }
  void add_shape(const std::string& what) { shapes_.push_back(what); }
  void add_type(const std::string& what) { types_.push_back(what); }
  bool empty() const {
    return missing_.empty() && unknown_.empty() && shapes_.empty() && types_.empty();
  }

  /// Ok without problems, else kFailedPrecondition: these weights do not fit `what`, with every
  /// kind of problem, the first of each by name; a missing and an unknown name that are alike are
  /// put side by side.
  Status status(const std::string& what) const;

 private:
  std::vector<std::string> missing_, unknown_, shapes_, types_;
};

/// The first few names, to show whose they are.
std::string first_names(const std::vector<TensorSpec>& tensors);

/// Differences in names and shapes, and tensors that are not floating-point. Types of `expected` do
/// not matter.
WeightProblems compare_weights(const std::vector<TensorSpec>& stored,
                               const std::vector<TensorSpec>& expected);

}  // namespace titan
