#include "titan/protocols/weight_formats.h"

#include "titan/protocols/weight_problems.h"

namespace titan {
namespace {

class OwnNames : public WeightFormats {
 public:
  std::vector<std::string> names() const override { return {"own"}; }
  std::string detect(const std::vector<TensorSpec>& /*stored*/) const override { return "own"; }
  std::string describe(const std::vector<TensorSpec>& stored,
                       const std::string& /*format*/) const override {
    std::uint64_t elements = 0;  // of a damaged index the sum may wrap around; it is only said
    for (const TensorSpec& tensor : stored) {
      std::uint64_t count = 1;
      for (const int64_t size : tensor.shape) count *= static_cast<std::uint64_t>(size);
      elements += count;
    }
    return str_cat(stored.size(), " tensors, ", elements, " parameters");
  }
  StatusOr<std::vector<TensorRecipe>> recipes(const std::vector<TensorSpec>& stored,
                                              const std::string& /*from*/,
                                              const std::string& /*to*/) const override {
    TITAN_RETURN_IF_ERROR(compare_weights(stored, stored).status("any model"));
    std::vector<TensorRecipe> recipes;
    for (const TensorSpec& tensor : stored)
      recipes.push_back({tensor, {{tensor.name, 0, tensor.shape.empty() ? 1 : tensor.shape[0]}}});
    return recipes;
  }
};

}  // namespace

std::shared_ptr<const WeightFormats> own_names_only() { return std::make_shared<const OwnNames>(); }

}  // namespace titan
