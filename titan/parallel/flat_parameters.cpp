#include "titan/parallel/flat_parameters.h"

#include <optional>
#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include "titan/base/check.h"

namespace titan::parallel {
namespace {

std::vector<ParameterShape> shapes_of(const ModelUnit& unit) {
  std::vector<ParameterShape> shapes;
  for (std::size_t i = 0; i < unit.parameters.size(); ++i) {
    const at::Tensor& leaf = unit.parameters[i];
    shapes.push_back({.name = unit.parameter_names[i],
                      .shape = leaf.sizes().vec(),
                      .trainable = leaf.requires_grad()});
  }
  return shapes;
}

at::Device device_of(const std::vector<ModelUnit>& units) {
  for (const ModelUnit& unit : units) {
    for (const at::Tensor& leaf : unit.parameters) {
      if (!leaf.is_meta()) return leaf.device();
    }
  }
  return at::kCPU;
}

void check_leaf(const std::string& name, const at::Tensor& leaf) {
  TITAN_CHECK(leaf.scalar_type() == at::kFloat, "[flat parameters] parameters must be float32 (",
              name, " is ", leaf.scalar_type(), ")");
}

/// Copies what this rank holds of the leaves into its slice.
void take_over(const FlatUnit& unit, const UnitLayout& layout,
               const std::vector<at::Tensor>& leaves) {
  for (const Fragment& fragment : unit.fragments) {
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      if (layout.parameters[i].name != fragment.name || leaves[i].is_meta()) continue;
      const at::Tensor values = leaves[i].detach().reshape({-1});
      fragment_view(unit.weights(), fragment)
          .assign(values.narrow(0, fragment.global_offset, fragment.length));
    }
  }
}

}  // namespace

at::Tensor fragment_view(const at::Tensor& flat, const Fragment& fragment) {
  return flat.narrow(0, fragment.local_offset, fragment.length);
}

FlatValues fragment_view(const FlatValues& flat, const Fragment& fragment) {
  return flat.narrow(fragment.local_offset, fragment.length);
}

at::TensorOptions FlatParameters::compute_options() const {
  return at::TensorOptions().device(device_).dtype(options_.compute_dtype);
}

at::TensorOptions FlatParameters::state_options(at::ScalarType dtype) const {
  return at::TensorOptions().dtype(dtype).device(options_.offload ? at::kCPU : device_);
}

FlatParameters::FlatParameters(const std::vector<ModelUnit>& units,
                               const FlatParametersOptions& options)
    : options_(options), device_(options.device.value_or(device_of(units))) {
  const at::NoGradGuard no_grad;
  TITAN_CHECK(
      options_.master == MasterWeights::kFloat32 || options_.compute_dtype == at::kBFloat16,
      "[flat parameters] weights are kept in bfloat16 only where the model computes in it (",
      options_.compute_dtype, ")");
  int64_t gradients = 0;
  for (const ModelUnit& unit : units) {
    layouts_.push_back(lay_out_unit(unit.name, shapes_of(unit), options_.shard.ranks));
    if (layouts_.back().trainable()) gradients += layouts_.back().shard_length;
  }
  gradients_ = at::zeros({gradients}, state_options(options_.grad_dtype));
  whole_.resize(units.size());
  int64_t start = 0;
  for (std::size_t u = 0; u < units.size(); ++u) {
    const UnitLayout& layout = layouts_[u];
    const int64_t length = layout.trainable() ? layout.shard_length : 0;
    units_.push_back({.name = layout.name,
                      .fragments = fragments_of(layout, options_.shard.rank),
                      .master = {},
                      .grad = gradients_.narrow(0, start, length),
                      .first_element = options_.shard.rank * layout.shard_length});
    start += length;
    place(u, units[u].parameters);
  }
}

/// Gives a unit its memory and its leaves.
void FlatParameters::place(std::size_t unit, const std::vector<at::Tensor>& leaves) {
  const UnitLayout& layout = layouts_[unit];
  FlatUnit& flat = units_[unit];
  for (std::size_t i = 0; i < leaves.size(); ++i) check_leaf(layout.parameters[i].name, leaves[i]);
  if (options_.resident) whole_[unit] = at::zeros({layout.length}, compute_options());
  // In the model's dtype the slice is part of the whole buffer: the update writes what it reads.
  const at::ScalarType dtype =
      options_.master == MasterWeights::kFloat32 ? at::kFloat : at::kBFloat16;
  const bool in_place = options_.resident && options_.compute_dtype == dtype && !options_.offload;
  flat.master = in_place ? whole_[unit].narrow(0, flat.first_element, layout.shard_length)
                         : at::zeros({layout.shard_length}, state_options(dtype));
  if (options_.resident && !in_place && !options_.offload &&
      options_.compute_dtype == at::kBFloat16)
    flat.copy = whole_[unit].narrow(0, flat.first_element, layout.shard_length);
  if (options_.master == MasterWeights::kRemainder)
    flat.remainder = at::zeros({layout.shard_length}, state_options(at::kShort));
  take_over(flat, layout, leaves);
  storages_.emplace_back(layout, leaves, options_.compute_dtype, device_);
  if (options_.resident) storages_.back().point_at(whole_[unit]);
}

void FlatParameters::initialize(Model& model, std::uint64_t seed) {
  for (const FlatUnit& unit : units_) {
    for (const Fragment& fragment : unit.fragments) {
      const FlatValues kept = fragment_view(unit.weights(), fragment);
      // Values are drawn in float32: the same ones, whatever is kept of them.
      const bool direct = kept.stored.scalar_type() == at::kFloat;
      const at::Tensor values =
          direct ? kept.stored : at::zeros({fragment.length}, state_options(at::kFloat));
      model.initialize_parameter(seed, fragment.name,
                                 {values, fragment.shape, fragment.global_offset});
      if (!direct) kept.assign(values);
    }
  }
  weights_changed();
}

int64_t FlatParameters::num_parameters() const {
  int64_t count = 0;
  for (const UnitLayout& layout : layouts_) count += layout.num_parameters();
  return count;
}

}  // namespace titan::parallel
