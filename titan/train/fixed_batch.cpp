#include "titan/train/fixed_batch.h"

namespace titan {
namespace {

bool same_form(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && a.device() == b.device();
}

}  // namespace

bool same_form(const Batch& a, const Batch& b) {
  if (a.fields.size() != b.fields.size()) return false;
  for (const auto& [name, tensor] : a.fields) {
    const at::Tensor other = b.fields.get(name);
    if (!other.defined() || !same_form(tensor, other)) return false;
  }
  return same_form(a.sample, b.sample) && same_form(a.epoch, b.epoch);
}

Batch fixed_copy(const Batch& batch) {
  Batch copy;
  for (const auto& [name, tensor] : batch.fields)
    copy.fields.set(name, tensor.clone(at::MemoryFormat::Contiguous));
  copy.sample = batch.sample.clone();
  copy.epoch = batch.epoch.clone();
  return copy;
}

void copy_into(const Batch& fixed, const Batch& batch) {
  for (const auto& [name, tensor] : fixed.fields) tensor.copy_(batch.fields.get(name));
  fixed.sample.copy_(batch.sample);
  fixed.epoch.copy_(batch.epoch);
}

}  // namespace titan
