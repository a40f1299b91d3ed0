#include "titan/models/encoders/network_formats.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "titan/protocols/weight_problems.h"

namespace titan::models {
namespace {

class TableFormats : public WeightFormats {
 public:
  explicit TableFormats(std::unique_ptr<NetworkNames> names) : names_(std::move(names)) {}

  std::vector<std::string> names() const override { return names_->formats(); }

  std::string detect(const std::vector<TensorSpec>& stored) const override {
    const std::vector<TensorSpec> own = own_tensors(stored).tensors;
    std::set<std::string> there;
    for (const TensorSpec& tensor : own) there.insert(tensor.name);
    std::string best;
    std::size_t best_hits = 0, needed = 0;
    for (const std::string& format : names()) {
      const std::vector<TensorSpec> expected = names_->tensors(own, format, format);
      const auto hits = static_cast<std::size_t>(
          std::count_if(expected.begin(), expected.end(),
                        [&](const TensorSpec& tensor) { return there.contains(tensor.name); }));
      if (hits <= best_hits) continue;
      best = format;
      best_hits = hits;
      needed = std::min(expected.size(), own.size());
    }
    return best_hits * 2 >= needed ? best : "";
  }

  std::string describe(const std::vector<TensorSpec>& stored,
                       const std::string& format) const override {
    return names_->size(own_tensors(stored).tensors, format);
  }

  StatusOr<std::vector<TensorRecipe>> recipes(const std::vector<TensorSpec>& stored,
                                              const std::string& from,
                                              const std::string& to) const override {
    const OwnTensors own = own_tensors(stored);
    const std::vector<TensorSpec> there = names_->tensors(own.tensors, from, from);
    const std::vector<TensorSpec> wanted = names_->tensors(own.tensors, from, to);
    TITAN_RETURN_IF_ERROR(compare_weights(own.tensors, there)
                              .status(str_cat(names_->network(), " in ", from, "'s names (",
                                              describe(stored, from), ")")));
    std::map<std::string, TensorType> types;
    for (const TensorSpec& tensor : own.tensors) types.emplace(tensor.name, tensor.type);
    std::vector<TensorRecipe> recipes;
    for (std::size_t i = 0; i < there.size(); ++i) {
      const std::string& name = there[i].name;
      const auto renamed = own.stored_names.find(name);
      const std::string& stored_name = renamed == own.stored_names.end() ? name : renamed->second;
      recipes.push_back({{wanted[i].name, types.at(name), wanted[i].shape},
                         {{stored_name, 0, wanted[i].shape.empty() ? 1 : wanted[i].shape[0]}}});
    }
    return recipes;
  }

 private:
  /// The stored tensors that are this network's, an alias under its proper name.
  struct OwnTensors {
    std::vector<TensorSpec> tensors;
    std::map<std::string, std::string> stored_names;  ///< of tensors with another name here
  };

  OwnTensors own_tensors(const std::vector<TensorSpec>& stored) const {
    std::set<std::string> there;
    for (const TensorSpec& tensor : stored) there.insert(tensor.name);
    OwnTensors own;
    for (const TensorSpec& tensor : stored) {
      if (names_->ignores(tensor.name)) continue;
      const std::string proper = names_->alias_of(tensor.name);
      if (proper.empty()) {
        own.tensors.push_back(tensor);
      } else if (there.insert(proper).second) {
        own.tensors.push_back({proper, tensor.type, tensor.shape});
        own.stored_names.emplace(proper, tensor.name);
      }
    }
    return own;
  }

  std::unique_ptr<NetworkNames> names_;
};

}  // namespace

std::shared_ptr<const WeightFormats> make_weight_formats(std::unique_ptr<NetworkNames> names) {
  return std::make_shared<const TableFormats>(std::move(names));
}

}  // namespace titan::models
