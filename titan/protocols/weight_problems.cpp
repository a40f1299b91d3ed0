#include "titan/protocols/weight_problems.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "titan/base/printable.h"
#include "titan/config/nearest.h"

namespace titan {
namespace {

bool is_floating(TensorType type) {
  switch (type) {
    case TensorType::kF64:
    case TensorType::kF32:
    case TensorType::kF16:
    case TensorType::kBF16:
    case TensorType::kF8E4M3:
    case TensorType::kF8E5M2:
      return true;
    default:
      return false;
  }
}

/// "[3, 64]"
std::string sizes_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += str_cat(i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

/// One line: the kind, how many, and the first few.
std::string section(const char* kind, const std::vector<std::string>& items) {
  constexpr std::size_t kShown = 12, kLongest = 400;
  if (items.empty()) return "";
  return str_cat("\n  ", items.size(), " ", kind, ": ", listed(items, kShown, kLongest));
}

/// The candidate with the fewest differing letters, "" where none is close. (Whole names: that the
/// last part is called weight says nothing.)
std::string nearest_of(const std::string& name, const std::vector<std::string>& candidates) {
  constexpr std::size_t kCompared = 160;  // the distance is quadratic
  const std::string wanted = name.substr(0, kCompared);
  std::size_t best_distance = std::max<std::size_t>(3, wanted.size() / 5) + 1;
  std::string best;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = config::edit_distance(wanted, candidate.substr(0, kCompared));
    if (distance >= best_distance) continue;
    best_distance = distance;
    best = candidate;
  }
  return best;
}

/// The first names with the one of `others` that is most like them.
std::vector<std::string> with_nearest(std::vector<std::string> names, const char* introduction,
                                      const std::vector<std::string>& others) {
  constexpr std::size_t kExamined = 12;  // the comparison is quadratic
  for (std::size_t i = 0; i < std::min(kExamined, names.size()); ++i) {
    const std::string nearest = nearest_of(names[i], others);
    if (!nearest.empty()) names[i] += str_cat(" (", introduction, nearest, ")");
  }
  return names;
}

}  // namespace

Status WeightProblems::status(const std::string& what) const {
  if (empty()) return ok_status();
  return failed_precondition("the weights do not fit ", what, ":",
                             section("missing", with_nearest(missing_, "there is ", unknown_)),
                             section("unknown", with_nearest(unknown_, "wanted is ", missing_)),
                             section("of another shape", shapes_),
                             section("of another type", types_));
}

std::string first_names(const std::vector<TensorSpec>& tensors) {
  constexpr std::size_t kShown = 5;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::min(kShown, tensors.size()); ++i)
    names.push_back(tensors[i].name);
  return listed(names);
}

WeightProblems compare_weights(const std::vector<TensorSpec>& stored,
                               const std::vector<TensorSpec>& expected) {
  WeightProblems problems;
  std::unordered_map<std::string, const TensorSpec*> by_name;
  for (const TensorSpec& tensor : stored) by_name.emplace(tensor.name, &tensor);
  std::unordered_set<std::string> wanted;
  for (const TensorSpec& tensor : expected) {
    wanted.insert(tensor.name);
    const auto found = by_name.find(tensor.name);
    if (found == by_name.end()) {
      problems.add_missing(tensor.name);
    } else if (found->second->shape != tensor.shape) {
      problems.add_shape(str_cat(tensor.name, " is ", sizes_text(found->second->shape), ", not ",
                                 sizes_text(tensor.shape)));
    }
  }
  for (const TensorSpec& tensor : stored) {
    if (!wanted.contains(tensor.name)) {
      problems.add_unknown(tensor.name);
    } else if (!is_floating(tensor.type)) {
      problems.add_type(
          str_cat(tensor.name, " is ", name_of(tensor.type), ", not a floating-point type"));
    }
  }
  return problems;
}

}  // namespace titan
