// data: where samples come from, in which order, and how they become batches. Knows the rank as two
// integers, nothing of meshes or models.
//
// batch.h: one micro-batch.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace titan {

/// Named tensors in a fixed order; small, so look-up is a scan.
class NamedTensors {
 public:
  using Entry = std::pair<std::string, at::Tensor>;  ///< a name and its tensor

  /// Undefined tensor where the name is absent.
  at::Tensor get(const std::string& name) const {
    for (const Entry& entry : entries_)
      if (entry.first == name) return entry.second;
    return {};
  }
  /// Whether there is a tensor of that name.
  bool contains(const std::string& name) const {
    for (const Entry& entry : entries_)
      if (entry.first == name) return true;
    return false;
  }
  /// Adds, or replaces in its place.
  void set(const std::string& name, at::Tensor tensor) {
    for (Entry& entry : entries_) {
      if (entry.first != name) continue;
      entry.second = std::move(tensor);
      return;
    }
    entries_.emplace_back(name, std::move(tensor));
  }
  /// Does nothing where the name is absent.
  void erase(const std::string& name) {
    std::erase_if(entries_, [&](const Entry& entry) { return entry.first == name; });
  }
  bool empty() const { return entries_.empty(); }       ///< no tensors at all
  std::size_t size() const { return entries_.size(); }  ///< number of tensors
  auto begin() { return entries_.begin(); }             ///< in their order
  auto end() { return entries_.end(); }                 ///< in their order
  auto begin() const { return entries_.begin(); }       ///< in their order
  auto end() const { return entries_.end(); }           ///< in their order

 private:
  std::vector<Entry> entries_;
};

/// One micro-batch of B samples on the training device.
struct Batch {
  NamedTensors fields;  ///< e.g. "image" [B, C, H, W] float32 in [-1, 1] (pixels) or latents;
                        ///< "label" [B] int64
  at::Tensor
      sample;  ///< [B] int64: index of each sample in its data set, the key of its random draws
  at::Tensor epoch;  ///< [B] int64: epoch of each sample (a batch may straddle two)
  std::vector<std::string> captions;  ///< B texts, or empty where the data set has none
  std::vector<std::string> keys;      ///< B names of samples, or empty where they have none
  int64_t cursor =
      0;  ///< global sample cursor of the first sample of the *global* batch this belongs to

  int64_t size() const { return sample.defined() ? sample.numel() : 0; }  ///< B
};

}  // namespace titan
