#include "titan/protocols/rng_state.h"

#include <mutex>

#include <ATen/Context.h>
#include <ATen/ops/equal.h>

namespace titan {

RngState::RngState(at::Device device) {
  const auto add = [&](at::Device each) {
    at::Generator generator = at::globalContext().defaultGenerator(each);
    const std::lock_guard<std::mutex> lock(generator.mutex());
    at::Tensor state = generator.get_state();
    entries_.push_back({std::move(generator), std::move(state)});
  };
  add(at::kCPU);
  // Meta tensors hold no numbers, so nothing is drawn for them.
  if (!device.is_cpu() && !device.is_meta()) add(device);
}

void RngState::restore() const {
  for (const Entry& entry : entries_) {
    at::Generator generator = entry.generator;
    const std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(entry.state);
  }
}

bool RngState::operator==(const RngState& other) const {
  if (entries_.size() != other.entries_.size()) return false;
  for (std::size_t i = 0; i < entries_.size(); ++i)
    if (!at::equal(entries_[i].state, other.entries_[i].state)) return false;
  return true;
}

}  // namespace titan
