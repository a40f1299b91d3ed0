#include "titan/models/objectives/rectified_flow.h"

#include <vector>

#include "titan/ops/philox.h"

namespace titan::objectives {

RectifiedFlow::RectifiedFlow(RectifiedFlowOptions options, std::uint64_t seed)
    : options_(options), seed_(seed) {}

TrainingExample RectifiedFlow::mix(const at::Tensor& data, const at::Tensor& noise,
                                   const at::Tensor& sigma) const {
  TrainingExample example;
  std::vector<int64_t> per_sample(static_cast<std::size_t>(data.dim()), 1);
  per_sample[0] = -1;
  if (options_.direction == FlowDirection::kDataAtOne) {
    example.t = 1 - sigma;
    example.target = data - noise;
    example.x_t = noise + example.t.view(per_sample) * example.target;
  } else {
    example.t = sigma;
    example.target = noise - data;
    example.x_t = data + example.t.view(per_sample) * example.target;
  }
  example.weight = loss_weight(options_.weight, sigma);
  return example;
}

TrainingExample RectifiedFlow::prepare(const Batch& batch) const {
  const at::Tensor data = image_of(batch);
  const at::Tensor noise = ops::philox_normal(batch.sample, batch.epoch, data.sizes().slice(1),
                                              seed_, RandomPurpose::kNoise);
  const at::Tensor sigma = draw_sigma(options_.timesteps, batch.sample, batch.epoch, seed_);
  TrainingExample example = mix(data, noise, sigma);
  example.condition = training_condition(batch, options_.dropout, seed_);
  return example;
}

TrainingExample RectifiedFlow::prepare_evaluation(const Batch& batch, const at::Tensor& timestep,
                                                  std::uint64_t seed) const {
  const at::Tensor data = image_of(batch);
  const at::Tensor sigma = timestep.to(at::kFloat) / static_cast<double>(kEvalTimesteps);
  TrainingExample example = mix(data, evaluation_noise(batch, data.sizes().slice(1), seed), sigma);
  example.weight = at::Tensor();
  example.condition = training_condition(batch, {.probability = 0}, seed);
  return example;
}

at::Tensor RectifiedFlow::loss(const at::Tensor& prediction, const TrainingExample& example) const {
  return squared_error(prediction, example.target, example.weight);
}

}  // namespace titan::objectives
