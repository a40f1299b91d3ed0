#include "titan/data/real_samples.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include <ATen/ATen.h>

namespace titan {
namespace {

int64_t class_of(const Dataset& dataset, int64_t index) {
  if (const std::optional<int64_t> label = dataset.label_of(index)) return *label;
  const StatusOr<Sample> sample = dataset.read(index, {});
  if (!sample.ok() || !sample->fields.contains("label")) return -1;
  return sample->fields.get("label").item<int64_t>();
}

}  // namespace

std::vector<int64_t> find_samples_of_class(const Dataset& dataset, int64_t label, int64_t count,
                                           int64_t max_scanned) {
  std::vector<int64_t> found;
  const int64_t end = std::min(dataset.size(), max_scanned);
  for (int64_t index = 0; index < end && static_cast<int64_t>(found.size()) < count; ++index)
    if (class_of(dataset, index) == label) found.push_back(index);
  return found;
}

StatusOr<at::Tensor> read_real_samples(const Dataset& dataset, const std::vector<int64_t>& classes,
                                       std::uint64_t seed) {
  std::map<int64_t, std::vector<int64_t>> candidates;
  std::map<int64_t, std::size_t> used;
  const auto is_class = [&](int64_t label) { return label >= 0 && label < dataset.num_classes(); };
  for (const int64_t label : std::set<int64_t>(classes.begin(), classes.end())) {
    const int64_t mentions = std::count(classes.begin(), classes.end(), label);
    std::vector<int64_t>& list = candidates[label];
    if (is_class(label)) {
      list = find_samples_of_class(dataset, label, mentions);
    } else {
      list.resize(static_cast<std::size_t>(std::min(mentions, dataset.size())));
      std::iota(list.begin(), list.end(), 0);
    }
  }
  std::vector<at::Tensor> pictures(classes.size());
  at::Tensor any;
  Status last = not_found("[data] no sample of the asked classes");
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const std::vector<int64_t>& list = candidates[classes[i]];
    const std::size_t mention = used[classes[i]]++;
    if (mention >= list.size()) continue;
    const StatusOr<Sample> sample = dataset.read(list[mention], {.seed = seed, .epoch = 0});
    if (sample.ok()) {
      any = pictures[i] = sample->fields.get("image");
    } else {
      last = sample.status();
    }
  }
  if (!any.defined()) return last;
  for (at::Tensor& picture : pictures)
    if (!picture.defined()) picture = at::zeros_like(any);
  return at::stack(pictures);
}

}  // namespace titan
