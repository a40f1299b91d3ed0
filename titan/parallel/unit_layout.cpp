#include "titan/parallel/unit_layout.h"

#include <algorithm>
#include <utility>

#include "titan/base/check.h"

namespace titan::parallel {
namespace {

// 64 bytes, a cache line and the widest vector register, of the smallest dtype (bfloat16).
constexpr int64_t kAlignment = 32;

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

int64_t ParameterShape::numel() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

bool UnitLayout::trainable() const {
  return std::any_of(parameters.begin(), parameters.end(),
                     [](const Fragment& parameter) { return parameter.trainable; });
}

int64_t UnitLayout::num_parameters() const {
  int64_t count = 0;
  for (const Fragment& parameter : parameters) count += parameter.length;
  return count;
}

UnitLayout lay_out_unit(std::string name, const std::vector<ParameterShape>& parameters,
                        int64_t shard_ranks) {
  TITAN_CHECK(shard_ranks >= 1, "[layout] at least one rank holds a unit (", name, ")");
  UnitLayout layout{.name = std::move(name)};
  int64_t offset = 0;
  for (const ParameterShape& parameter : parameters) {
    layout.parameters.push_back({.name = parameter.name,
                                 .shape = parameter.shape,
                                 .local_offset = offset,
                                 .length = parameter.numel(),
                                 .trainable = parameter.trainable});
    offset = round_up(offset + parameter.numel(), kAlignment);
  }
  layout.length = round_up(offset, kAlignment * shard_ranks);
  layout.shard_length = layout.length / shard_ranks;
  return layout;
}

std::vector<Fragment> fragments_of(const UnitLayout& layout, int64_t shard_rank) {
  const int64_t begin = shard_rank * layout.shard_length;
  const int64_t end = begin + layout.shard_length;
  std::vector<Fragment> fragments;
  for (const Fragment& parameter : layout.parameters) {
    const int64_t first = std::max(begin, parameter.local_offset);
    const int64_t last = std::min(end, parameter.local_offset + parameter.length);
    if (first >= last) continue;
    Fragment fragment = parameter;
    fragment.global_offset = first - parameter.local_offset;
    fragment.local_offset = first - begin;
    fragment.length = last - first;
    fragments.push_back(std::move(fragment));
  }
  return fragments;
}

}  // namespace titan::parallel
