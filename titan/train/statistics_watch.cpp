#include "titan/train/statistics_watch.h"

#include <ATen/ops/index_select.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tensor.h>

#include <utility>

#include "titan/base/hash.h"

namespace titan {
namespace {

metrics::TensorStatistics statistics_of(const at::Tensor& tensor) {
  const at::Tensor host = tensor.detach().to(at::kCPU).contiguous();
  metrics::TensorStatistics found;
  found.dtype = c10::toString(host.scalar_type());
  found.shape = host.sizes().vec();
  found.hash = xxh3_128_hex(host.const_data_ptr(), host.nbytes());
  at::Tensor values = host.to(at::kDouble).flatten();
  const at::Tensor finite = at::isfinite(values);
  found.nonfinite = values.numel() - finite.sum().item<int64_t>();
  if (found.nonfinite > 0) values = values.masked_select(finite);
  if (values.numel() == 0) return found;
  found.mean = values.mean().item<double>();
  found.std = values.std(/*unbiased=*/false).item<double>();
  found.min = values.min().item<double>();
  found.max = values.max().item<double>();
  return found;
}

/// Names of the state's tensors, in the order in which BlockState::for_each comes by.
std::vector<std::string> slot_names(const BlockState& state) {
  std::vector<std::pair<const at::Tensor*, std::string>> known = {
      {&state.x, "x"},
      {&state.txt, "txt"},
      {&state.cond, "cond"},
      {&state.rope, "rope"},
      {&state.open.branch, "open branch"},
      {&state.open.gate, "open gate"}};
  for (const NamedTensors::Entry& entry : state.extra)
    known.emplace_back(&entry.second, entry.first);
  std::vector<std::string> names;
  state.for_each([&](const at::Tensor& tensor) {
    std::string name = "tensor " + std::to_string(names.size());
    for (const auto& [address, text] : known)
      if (address == &tensor) name = text;
    names.push_back(name);
  });
  return names;
}

}  // namespace

StatisticsWatch::StatisticsWatch(const Model& model) {
  for (const ModelUnit& unit : split_into_units(model)) {
    units_.push_back(unit.name);
    parameters_.push_back(unit.parameter_names);
  }
  slots_.resize(units_.size());
}

void StatisticsWatch::begin_micro_batch(int64_t index, std::vector<int64_t> rows) {
  micro_batch_ = index;
  rows_ = std::move(rows);
}

void StatisticsWatch::add(const std::string& phase, const std::string& unit,
                          const std::string& tensor, const at::Tensor& value, bool of_samples) {
  if (!value.defined() || (!rows_.empty() && !of_samples)) return;
  const bool by_sample = !rows_.empty() && value.dim() > 0 && value.size(0) == batch_size_;
  const at::Tensor rows =
      by_sample ? at::index_select(value.detach(), 0, at::tensor(rows_).to(value.device())) : value;
  metrics::TensorStatistics found = statistics_of(rows);
  found.phase = phase;
  found.micro_batch = micro_batch_;
  found.unit = unit;
  found.tensor = tensor;
  found_.push_back(std::move(found));
}

void StatisticsWatch::weights(const std::string& phase,
                              const std::vector<parallel::FlatUnit>& units) {
  micro_batch_ = -1;
  for (const parallel::FlatUnit& unit : units) {
    add(phase, unit.name, "weights", unit.master, /*of_samples=*/false);
    add(phase, unit.name, "weights' lower bits", unit.remainder, /*of_samples=*/false);
  }
}

void StatisticsWatch::number(const std::string& name, const at::Tensor& value) {
  micro_batch_ = -1;
  add("update", "step", name, value, /*of_samples=*/false);
}

void StatisticsWatch::input(const at::Tensor& x_t, const at::Tensor& t,
                            const NamedTensors& condition) {
  batch_size_ = x_t.size(0);
  add("input", "model", "x_t", x_t, true);
  add("input", "model", "t", t, true);
  for (const NamedTensors::Entry& entry : condition)
    add("input", "model", entry.first, entry.second, true);
}

void StatisticsWatch::state(std::size_t unit, const BlockState& state) {
  slots_[unit] = slot_names(state);
  std::size_t slot = 0;
  state.for_each([&](const at::Tensor& tensor) {
    add("forward", units_[unit], slots_[unit][slot++], tensor, true);
  });
}

void StatisticsWatch::prediction(const at::Tensor& prediction) {
  add("forward", units_.back(), "prediction", prediction, true);
}

void StatisticsWatch::loss(const at::Tensor& loss) { add("loss", "model", "loss", loss, false); }

void StatisticsWatch::gradients(std::size_t unit, const std::vector<at::Tensor>& parameters,
                                const std::vector<std::size_t>& slots,
                                const std::vector<at::Tensor>& state) {
  for (std::size_t i = 0; i < parameters.size(); ++i)
    add("backward", units_[unit], "gradient of " + parameters_[unit][i], parameters[i], false);
  for (std::size_t i = 0; i < state.size(); ++i)
    add("backward", units_[unit], "gradient of " + slots_[unit - 1].at(slots.at(i)), state[i],
        true);
}

}  // namespace titan
