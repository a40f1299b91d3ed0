// flat_parameters.h: what this rank holds of a model: a slice of each unit's flat buffer. The
// optimizer, the averages, the norm, checkpoints and collectives all work on these slices; a
// fragment says which part of which parameter lies where.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "titan/parallel/flat_values.h"
#include "titan/parallel/unit_layout.h"
#include "titan/parallel/unit_storage.h"
#include "titan/protocols/model.h"

namespace titan::parallel {

/// This rank's slice of one unit. Tensors are 1-D; elements outside fragments are padding (zero).
struct FlatUnit {
  std::string name;
  std::vector<Fragment> fragments;
  at::Tensor master;  ///< weights: float32, or bfloat16 (MasterWeights)
  at::Tensor grad;  ///< gradients, float32 or bfloat16, summed over micro-batches and ranks at the
                    ///< end of a step; empty where no parameter of the unit is trainable
  at::Tensor remainder = {};  ///< int16, what `master` lacks of float32; or undefined
  at::Tensor copy = {};       ///< bfloat16, what the model reads of float32 weights that stay
                              ///< whole; or undefined
  int64_t first_element = 0;  ///< of the slice in the whole unit

  /// The weights as float32 values (bfloat16 where nothing else is kept).
  FlatValues weights() const { return {master, remainder}; }
};

/// How weights are kept (optimizer.master_weights).
enum class MasterWeights {
  kFloat32,
  kRemainder,   ///< the bfloat16 that the model computes with, and the 16 bits that it lacks
  kStochastic,  ///< bfloat16 alone
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
  /// Other than float32: with bfloat16 as compute dtype.
  MasterWeights master = MasterWeights::kFloat32;
  /// bfloat16 where nothing is lost by it: gradients of bfloat16 leaves that are not added up.
  at::ScalarType grad_dtype = at::kFloat;
};

/// Splits a model's parameters into slices. The leaves become views of a storage per unit
/// (UnitStorage), which UnitGather fills from the slices; where a single rank computes in the dtype
/// of the weights, it is the slice itself.
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

  /// Gradients of all units, end to end, in the order of the units: 1-D. Every unit's
  /// `grad` is a slice of it, so neighbouring units travel in one collective without a copy.
  const at::Tensor& gradients() const { return gradients_; }

  /// To be called when master weights have changed: units are gathered anew before their next use.
  /// `with_copies`: every FlatUnit::copy that was right before is right again.
  void weights_changed(bool with_copies = false) {
    ++version_;
    if (with_copies) copied_version_ = version_;
  }
  std::int64_t version() const { return version_; }
  /// Whether a unit that was gathered at `version` has the present weights in its copy.
  bool copy_follows(std::size_t unit, std::int64_t version) const {
    return units_[unit].copy.defined() && copied_version_ == version_ && version + 1 == version_;
  }

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
  at::TensorOptions state_options(at::ScalarType dtype) const;

  FlatParametersOptions options_;
  at::Device device_ = at::kCPU;
  std::vector<UnitLayout> layouts_;
  std::vector<FlatUnit> units_;
  std::vector<UnitStorage> storages_;
  std::vector<at::Tensor> whole_;
  at::Tensor gradients_;
  std::int64_t version_ = 1;
  std::int64_t copied_version_ = 0;
};

/// The part of a flat buffer that holds `fragment`, 1-D, sharing storage.
at::Tensor fragment_view(const at::Tensor& flat, const Fragment& fragment);
FlatValues fragment_view(const FlatValues& flat, const Fragment& fragment);

}  // namespace titan::parallel
