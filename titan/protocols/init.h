// init.h: parameter initialisation as a function of (seed, parameter name), so every layout starts
// from the same bits and a rank can fill a slice of a tensor it never materialises.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

namespace titan::init {

/// Identity of a parameter: its draws are keyed by XXH3-64 of the name.
struct ParameterKey {
  std::uint64_t seed = 0;
  std::string name;
};

/// Fills `parameter` in place (no gradient is recorded); element i of the row-major global tensor
/// draws with counter i.
void normal_(const at::Tensor& parameter, const ParameterKey& key, double stddev);
/// Normal with values outside +-`limit` (absolute) drawn again from the inverse CDF of the
/// truncated density.
void truncated_normal_(const at::Tensor& parameter, const ParameterKey& key, double stddev,
                       double limit = 2.0);
void uniform_(const at::Tensor& parameter, const ParameterKey& key, double low, double high);
/// Glorot & Bengio 2010 on the matrix [out, in] obtained by flattening all but the first dimension.
void xavier_uniform_(const at::Tensor& parameter, const ParameterKey& key);
void constant_(const at::Tensor& parameter, double value);

/// The same for a run of consecutive elements: fills `slice` with elements offset, offset + 1, ...
/// of the parameter's row-major global tensor. A whole tensor filled piece by piece has the bits of
/// the tensor filled at once.
void normal_slice_(const at::Tensor& slice, const ParameterKey& key, int64_t offset, double stddev);
void truncated_normal_slice_(const at::Tensor& slice, const ParameterKey& key, int64_t offset,
                             double stddev, double limit);
void uniform_slice_(const at::Tensor& slice, const ParameterKey& key, int64_t offset, double low,
                    double high);
/// Bound of xavier_uniform_ for a parameter of this global shape.
double xavier_bound(at::IntArrayRef shape);

}  // namespace titan::init
