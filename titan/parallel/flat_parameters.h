// parallel: how a model is laid out over ranks and how ranks talk. Model code never includes it.
//
// flat_parameters.h: the parameters of each unit in one buffer. The optimizer, the averages, the
// norm, checkpoints and collectives all work on these flat buffers; a fragment says which part of
// which parameter lies where.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/protocols/model.h"

namespace titan::parallel {

/// A run of consecutive elements of one parameter (row-major) inside a flat buffer.
struct Fragment {
  std::string name;            ///< parameter name
  std::vector<int64_t> shape;  ///< global shape
  int64_t global_offset = 0;   ///< first element, within the parameter
  int64_t local_offset = 0;    ///< first element, within the flat buffer
  int64_t length = 0;
};

/// One unit's flat buffers on this rank. All are 1-D and of equal length; elements outside
/// fragments are padding (zero).
struct FlatUnit {
  std::string name;
  std::vector<Fragment> fragments;
  at::Tensor master;   ///< float32 weights
  at::Tensor grad;     ///< float32 gradients, summed over micro-batches (and ranks, once reduced)
  at::Tensor compute;  ///< weights in the compute dtype, what the model's leaves view; the same
                       ///< storage as `master` for float32
};

/// Moves a model's parameters into flat buffers: the leaves become views of `compute`. Each
/// parameter starts on a 64-byte boundary in every buffer. A leaf keeps its own version counter, so
/// the optimizer may write the flat buffers with ordinary operations (no gradient recorded) between
/// steps.
class FlatParameters {
 public:
  /// Takes over the present values of the leaves (float32, on one device, initialised before):
  /// `master` holds them exactly, `compute` in `compute_dtype`. Throws titan::Error on mixed
  /// devices, another dtype, a meta tensor.
  FlatParameters(const std::vector<ModelUnit>& units, at::ScalarType compute_dtype);

  std::vector<FlatUnit>& units() { return units_; }
  const std::vector<FlatUnit>& units() const { return units_; }

  /// Gradients of all units, end to end, in the order of the units: 1-D float32. Every unit's
  /// `grad` is a slice of it, so neighbouring units travel in one collective without a copy.
  const at::Tensor& gradients() const { return gradients_; }

  /// Copies master to compute where they differ in dtype; after loading and after each optimizer
  /// step.
  void refresh_compute();
  /// Number of parameters (without padding).
  int64_t num_parameters() const;

 private:
  std::vector<FlatUnit> units_;
  at::Tensor gradients_;
};

/// The part of a flat buffer that holds `fragment`, 1-D, sharing storage.
at::Tensor fragment_view(const at::Tensor& flat, const Fragment& fragment);

}  // namespace titan::parallel
