#include "titan/parallel/flat_parameters.h"

#include <algorithm>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include "titan/base/check.h"

namespace titan::parallel {
namespace {

constexpr int64_t kAlignmentBytes = 64;  // a cache line, and the widest vector register

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

void check_leaf(const std::string& name, const at::Tensor& leaf, const at::Device& device) {
  TITAN_CHECK(leaf.is_leaf(), "[flat parameters] a parameter must be a leaf (", name, ")");
  TITAN_CHECK(!leaf.is_meta(), "[flat parameters] a parameter must be materialised (", name, ")");
  TITAN_CHECK(leaf.scalar_type() == at::kFloat, "[flat parameters] parameters must be float32 (",
              name, " is ", leaf.scalar_type(), ")");
  TITAN_CHECK(leaf.device() == device, "[flat parameters] parameters must lie on one device (",
              name, " on ", leaf.device(), ", others on ", device, ")");
}

/// Places the parameters of `unit` one after another; returns the length of the flat buffers.
int64_t lay_out(const ModelUnit& unit, int64_t alignment, std::vector<Fragment>& fragments) {
  int64_t offset = 0;
  for (std::size_t i = 0; i < unit.parameters.size(); ++i) {
    const at::Tensor& leaf = unit.parameters[i];
    fragments.push_back({.name = unit.parameter_names[i],
                         .shape = leaf.sizes().vec(),
                         .global_offset = 0,
                         .local_offset = offset,
                         .length = leaf.numel()});
    offset = round_up(offset + leaf.numel(), alignment);
  }
  return offset;
}

}  // namespace

at::Tensor fragment_view(const at::Tensor& flat, const Fragment& fragment) {
  return flat.narrow(0, fragment.local_offset, fragment.length);
}

FlatParameters::FlatParameters(const std::vector<ModelUnit>& units, at::ScalarType compute_dtype) {
  const at::NoGradGuard no_grad;
  // One layout for all buffers of a unit: aligned even where an element is smallest.
  const int64_t alignment =
      kAlignmentBytes / std::min<int64_t>(4, static_cast<int64_t>(c10::elementSize(compute_dtype)));
  at::Device device(at::kCPU);
  for (const ModelUnit& unit : units) {
    if (!unit.parameters.empty()) device = unit.parameters.front().device();
  }
  const auto options = at::TensorOptions().device(device).dtype(at::kFloat);

  std::vector<int64_t> lengths;
  int64_t total = 0;
  for (const ModelUnit& unit : units) {
    FlatUnit flat;
    flat.name = unit.name;
    lengths.push_back(lay_out(unit, alignment, flat.fragments));
    total += lengths.back();
    units_.push_back(std::move(flat));
  }
  gradients_ = at::zeros({total}, options);

  int64_t start = 0;
  for (std::size_t u = 0; u < units.size(); ++u) {
    FlatUnit& flat = units_[u];
    flat.grad = gradients_.narrow(0, start, lengths[u]);
    start += lengths[u];
    flat.master = at::zeros({lengths[u]}, options);
    flat.compute = compute_dtype == at::kFloat
                       ? flat.master
                       : at::zeros({lengths[u]}, options.dtype(compute_dtype));
    for (std::size_t i = 0; i < flat.fragments.size(); ++i) {
      at::Tensor leaf = units[u].parameters[i];
      check_leaf(flat.fragments[i].name, leaf, device);
      fragment_view(flat.master, flat.fragments[i]).copy_(leaf.detach().reshape({-1}));
      // set_data keeps the leaf's identity, requires_grad and version counter; only its storage
      // changes.
      leaf.set_data(fragment_view(flat.compute, flat.fragments[i]).view(flat.fragments[i].shape));
    }
  }
  refresh_compute();
}

void FlatParameters::refresh_compute() {
  const at::NoGradGuard no_grad;
  for (FlatUnit& unit : units_) {
    if (!unit.compute.is_same(unit.master)) unit.compute.copy_(unit.master);
  }
}

int64_t FlatParameters::num_parameters() const {
  int64_t count = 0;
  for (const FlatUnit& unit : units_) {
    for (const Fragment& fragment : unit.fragments) count += fragment.length;
  }
  return count;
}

}  // namespace titan::parallel
