#include "titan/ops/gradient_place.h"

#include <unordered_map>

#include "titan/base/check.h"

namespace titan::ops {
namespace {

struct Offer {
  const GradientPlaces* by = nullptr;
  /// By the address of the weight's first element: autograd hands operations other tensors of it.
  std::unordered_map<const void*, at::Tensor> places;
};
Offer& offer() {
  thread_local Offer offer;
  return offer;
}

}  // namespace

GradientPlaces::GradientPlaces(const std::vector<at::Tensor>& weights,
                               const std::vector<at::Tensor>& places) {
  TITAN_CHECK(weights.size() == places.size(),
              "[gradients] one place for each weight (weights=", weights.size(),
              ", places=", places.size(), ")");
  offer() = {.by = this, .places = {}};
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i].numel() > 0) offer().places.emplace(weights[i].const_data_ptr(), places[i]);
  }
}
GradientPlaces::~GradientPlaces() {
  if (offer().by == this) offer() = {};
}

at::Tensor take_gradient_place(const at::Tensor& weight) {
  auto& places = offer().places;
  // A transposed weight has another gradient than the weight at its address.
  if (places.empty() || weight.is_meta() || !weight.is_contiguous()) return {};
  const auto found = places.find(weight.const_data_ptr());
  if (found == places.end()) return {};
  const at::Tensor place = found->second;
  if (place.sizes() != weight.sizes() || place.scalar_type() != weight.scalar_type() ||
      place.device() != weight.device() || !place.is_contiguous())
    return {};
  places.erase(found);
  return place;
}

}  // namespace titan::ops
