// small_state.h: a state of a few tensors, cut into fragments in any way. Include
// tests/support/catch.h first.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "titan/checkpoint/checkpoint_reader.h"

namespace titan::testing {

struct NamedShape {
  std::string name;
  std::vector<int64_t> shape;
};

inline int64_t count_of(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

/// Element `index` of tensor `name` in the state of `step`: different everywhere.
inline float value_of(const std::string& name, int64_t index, int64_t step) {
  return static_cast<float>(std::hash<std::string>()(name) % 1000) +
         static_cast<float>(index) * 0.37F + static_cast<float>(step) * 11.3F;
}

/// Elements [begin, end) of the tensors laid end to end, as one item.
inline checkpoint::CheckpointItem slice_of(const std::string& prefix,
                                           const std::vector<NamedShape>& tensors, int64_t begin,
                                           int64_t end) {
  checkpoint::CheckpointItem item{prefix, {}, {}};
  int64_t start = 0;
  int64_t local = 0;
  for (const NamedShape& tensor : tensors) {
    const int64_t count = count_of(tensor.shape);
    const int64_t from = std::max(begin, start);
    const int64_t to = std::min(end, start + count);
    if (from < to) {
      item.fragments.push_back({tensor.name, tensor.shape, from - start, local, to - from});
      local += (to - from + 15) / 16 * 16;  // padding between, as flat buffers have
    }
    start += count;
  }
  item.flat = at::full({local}, -1, at::kFloat);
  return item;
}

inline void fill(checkpoint::CheckpointItem& item, int64_t step) {
  for (const parallel::Fragment& fragment : item.fragments) {
    auto* data = item.flat.mutable_data_ptr<float>() + fragment.local_offset;
    for (int64_t i = 0; i < fragment.length; ++i)
      data[i] = value_of(item.key(fragment), fragment.global_offset + i, step);
  }
}

/// Every element is the one of `step`, and the padding is untouched.
inline bool holds(const checkpoint::CheckpointItem& item, int64_t step) {
  checkpoint::CheckpointItem expected = item;
  expected.flat = at::full_like(item.flat, -1);
  fill(expected, step);
  return at::equal(item.flat, expected.flat);
}

inline const std::vector<NamedShape>& small_tensors() {
  static const std::vector<NamedShape> tensors = {
      {"embed.weight", {7, 5}}, {"blocks.0.w", {3, 4, 5}}, {"scale", {}}, {"blocks.0.b", {11}}};
  return tensors;
}
inline int64_t small_total() {
  int64_t total = 0;
  for (const NamedShape& tensor : small_tensors()) total += count_of(tensor.shape);
  return total;
}

/// The whole small state under three prefixes.
inline std::vector<checkpoint::CheckpointItem> small_state(int64_t step = -1) {
  std::vector<checkpoint::CheckpointItem> items;
  for (const char* prefix : {"model", "ema", "optim.exp_avg"}) {
    items.push_back(slice_of(prefix, small_tensors(), 0, small_total()));
    if (step >= 0) fill(items.back(), step);
  }
  return items;
}

inline bool all_hold(const std::vector<checkpoint::CheckpointItem>& items, int64_t step) {
  return std::all_of(items.begin(), items.end(),
                     [&](const auto& item) { return holds(item, step); });
}

}  // namespace titan::testing
