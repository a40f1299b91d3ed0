// init.h: parameter initialisation as a function of (seed, parameter name), so every layout starts
// from the same bits and a rank fills the slices it holds of tensors it never materialises.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace titan::init {

/// Identity of a parameter: its draws are keyed by XXH3-64 of the name.
struct ParameterKey {
  std::uint64_t seed = 0;  ///< of the job
  std::string name;        ///< as in named_parameters()
};

/// A run of consecutive elements of a parameter (row-major). A parameter filled slice by slice has
/// the bits of one filled at once.
struct Slice {
  /// The whole parameter. Implicit: most callers have one.
  Slice(const at::Tensor& parameter)  // NOLINT(google-explicit-constructor)
      : values(parameter), shape(parameter.sizes().vec()) {}
  /// Elements `first`, `first` + 1, ... of a parameter of shape `whole`.
  Slice(at::Tensor elements, std::vector<int64_t> whole, int64_t first)
      : values(std::move(elements)), shape(std::move(whole)), offset(first) {}

  at::Tensor values;           ///< what is filled, any shape, dtype and device
  std::vector<int64_t> shape;  ///< of the whole parameter
  int64_t offset = 0;          ///< first element, within the whole parameter
};

/// Each fills the slice in place (no gradient is recorded); element i of the row-major whole
/// parameter draws with counter i.
void normal_(const Slice& parameter, const ParameterKey& key, double stddev);
/// Normal with values outside +-`limit` (absolute) drawn again from the inverse CDF of the
/// truncated density.
void truncated_normal_(const Slice& parameter, const ParameterKey& key, double stddev,
                       double limit = 2.0);
/// Uniform in [low, high).
void uniform_(const Slice& parameter, const ParameterKey& key, double low, double high);
/// Glorot & Bengio 2010 on the matrix [out, in] obtained by flattening all but the first dimension
/// of the whole parameter.
void xavier_uniform_(const Slice& parameter, const ParameterKey& key);
/// The same value everywhere.
void constant_(const Slice& parameter, double value);

/// Bound of xavier_uniform_ for a parameter of this whole shape.
double xavier_bound(at::IntArrayRef shape);

}  // namespace titan::init
