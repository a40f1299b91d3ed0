// flat_parameters.h: what this rank holds of a model: a slice of each unit's flat buffer. The
// optimizer, the averages, the norm, checkpoints and collectives all work on these slices; a
// fragment says which part of which parameter lies where.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/parallel/unit_layout.h"
#include "titan/parallel/unit_storage.h"
#include "titan/protocols/model.h"

namespace titan::parallel {

/// This rank's slice of one unit. Tensors are 1-D; elements outside fragments are padding (zero).
struct FlatUnit {
  std::string name;
  std::vector<Fragment> fragments;
  at::Tensor master;  ///< float32 weights
  at::Tensor grad;    ///< float32 gradients, summed over micro-batches and ranks at the end of a
                      ///< step; empty where no parameter of the unit is trainable
};

struct FlatParametersOptions {
  at::ScalarType compute_dtype = at::kFloat;
  ShardPosition shard = {};
  /// true: the whole units stay in memory (DDP, ZeRO-1). false: they are gathered for their forward
  /// and backward (FSDP).
  bool resident = true;
  /// Where the model computes. Unset: where the leaves are (the CPU for the device meta).
  std::optional<at::Device> device = {};
  /// Master weights and gradients lie in host memory, and what is updated with them.
  bool offload = false;
};

/// Splits a model's parameters into slices. The leaves become views of a storage per unit
/// (UnitStorage), which UnitGather fills from the slices; where a single rank computes in float32,
/// it is the slice itself.
class FlatParameters {
 public:
  /// Takes over the present values of leaves that have memory; those of the device meta start as
  /// zero, see initialize(). Throws titan::Error unless all are float32.
  explicit FlatParameters(const std::vector<ModelUnit>& units,
                          const FlatParametersOptions& options = {});

  /// Fills this rank's slices: the same values on any layout, whole parameters are not made.
  void initialize(Model& model, std::uint64_t seed);

  std::vector<FlatUnit>& units() { return units_; }
  const std::vector<FlatUnit>& units() const { return units_; }
  const FlatParametersOptions& options() const { return options_; }

  /// Gradients of all units, end to end, in the order of the units: 1-D float32. Every unit's
  /// `grad` is a slice of it, so neighbouring units travel in one collective without a copy.
  const at::Tensor& gradients() const { return gradients_; }

  /// To be called when master weights have changed: units are gathered anew before their next use.
  void weights_changed() { ++version_; }
  std::int64_t version() const { return version_; }

  /// Number of parameters of the whole model (without padding).
  int64_t num_parameters() const;
  const std::vector<UnitLayout>& layouts() const { return layouts_; }

  /// For UnitGather: the storage that the leaves of `unit` view, and the memory of resident units
  /// (undefined otherwise).
  UnitStorage& storage(std::size_t unit) { return storages_[unit]; }
  const at::Tensor& whole(std::size_t unit) const { return whole_[unit]; }
  /// Of the device on which the model computes.
  at::TensorOptions compute_options() const;

 private:
  void place(std::size_t unit, const std::vector<at::Tensor>& leaves);

  FlatParametersOptions options_;
  at::Device device_ = at::kCPU;
  std::vector<UnitLayout> layouts_;
  std::vector<FlatUnit> units_;
  std::vector<UnitStorage> storages_;
  std::vector<at::Tensor> whole_;
  at::Tensor gradients_;
  std::int64_t version_ = 1;
};

/// The part of a flat buffer that holds `fragment`, 1-D, sharing storage.
at::Tensor fragment_view(const at::Tensor& flat, const Fragment& fragment);

}  // namespace titan::parallel
