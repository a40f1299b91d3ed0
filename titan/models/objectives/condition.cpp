#include "titan/models/objectives/condition.h"

#include <ATen/ops/zeros_like.h>

#include "titan/base/check.h"
#include "titan/ops/mse.h"
#include "titan/ops/philox.h"

namespace titan::objectives {

Conditioning training_condition(const Batch& batch, const ClassDropout& dropout,
                                std::uint64_t seed) {
  Conditioning condition;
  for (const auto& [name, tensor] : batch.fields)
    if (name != "image") condition.set(name, tensor);
  const at::Tensor label = condition.get("label");
  if (label.defined() && dropout.probability > 0) {
    const at::Tensor u =
        ops::philox_uniform(batch.sample, batch.epoch, {}, seed, RandomPurpose::kConditionDropout);
    condition.set("label", label.masked_fill(u.lt(dropout.probability), dropout.null_class));
  }
  return condition;
}

at::Tensor image_of(const Batch& batch) {
  const at::Tensor image = batch.fields.get("image");
  TITAN_CHECK(image.defined(), "[objective] the batch has no field \"image\"");
  return image.to(at::kFloat);
}

at::Tensor evaluation_noise(const Batch& batch, at::IntArrayRef tail_shape, std::uint64_t seed) {
  return ops::philox_normal(batch.sample, at::zeros_like(batch.sample), tail_shape, seed,
                            RandomPurpose::kEvalNoise);
}

at::Tensor squared_error(const at::Tensor& prediction, const at::Tensor& target,
                         const at::Tensor& weight) {
  TITAN_CHECK(prediction.sizes() == target.sizes(),
              "[objective] prediction and target match in shape (", prediction.sizes(), ", ",
              target.sizes(), ")");
  const bool wide = prediction.scalar_type() == at::kDouble;
  const at::Tensor error = ops::mse(wide ? prediction.to(at::kFloat) : prediction, target);
  return weight.defined() ? error * weight : error;
}

}  // namespace titan::objectives
