#include "titan/models/objectives/ddpm.h"

#include <vector>

#include <ATen/ops/tensor.h>

#include "titan/ops/philox.h"

namespace titan::objectives {
namespace {

/// Rows of a small table, which moves to the steps' device at the first use.
at::Tensor look_up(at::Tensor& table, const at::Tensor& step) {
  if (table.device() != step.device()) table = table.to(step.device());
  return table.index_select(0, step);
}

}  // namespace

Ddpm::Ddpm(DdpmOptions options, std::uint64_t seed) : options_(options), seed_(seed) {
  const std::vector<double> alpha_bar = alphas_cumprod(options_.schedule, options_.num_timesteps);
  alpha_bar_ = at::tensor(alpha_bar, at::kDouble);
  if (options_.min_snr_gamma > 0) {
    std::vector<double> weight;
    for (const double value : alpha_bar)
      weight.push_back(min_snr_weight(value, options_.min_snr_gamma, options_.prediction));
    weight_ = at::tensor(weight, at::kDouble).to(at::kFloat);
  }
}

TrainingExample Ddpm::mix(const at::Tensor& data, const at::Tensor& noise,
                          const at::Tensor& step) const {
  std::vector<int64_t> per_sample(static_cast<std::size_t>(data.dim()), 1);
  per_sample[0] = -1;
  // Roots in float64: 1 - alpha_bar loses its digits in float32 near data.
  const at::Tensor alpha_bar = look_up(alpha_bar_, step).view(per_sample);
  const at::Tensor signal = alpha_bar.sqrt().to(at::kFloat),
                   spread = (1 - alpha_bar).sqrt_().to(at::kFloat);
  TrainingExample example;
  example.t = step.to(at::kFloat) / static_cast<double>(options_.num_timesteps);
  example.x_t = signal * data + spread * noise;
  example.target =
      options_.prediction == Prediction::kEpsilon ? noise : signal * noise - spread * data;
  if (weight_.defined()) example.weight = look_up(weight_, step);
  return example;
}

TrainingExample Ddpm::prepare(const Batch& batch) const {
  const at::Tensor data = image_of(batch);
  const at::Tensor noise = ops::philox_normal(batch.sample, batch.epoch, data.sizes().slice(1),
                                              seed_, RandomPurpose::kNoise);
  const at::Tensor u =
      ops::philox_uniform(batch.sample, batch.epoch, {}, seed_, RandomPurpose::kTimestep);
  // u < 1, but u T may round up to T.
  const at::Tensor step = (u * static_cast<double>(options_.num_timesteps))
                              .to(at::kLong)
                              .clamp_max_(options_.num_timesteps - 1);
  TrainingExample example = mix(data, noise, step);
  example.condition = training_condition(batch, options_.dropout, seed_);
  return example;
}

TrainingExample Ddpm::prepare_evaluation(const Batch& batch, const at::Tensor& timestep,
                                         std::uint64_t seed) const {
  const at::Tensor data = image_of(batch);
  const at::Tensor step = (timestep * options_.num_timesteps).floor_divide_(kEvalTimesteps);
  TrainingExample example = mix(data, evaluation_noise(batch, data.sizes().slice(1), seed), step);
  example.weight = at::Tensor();
  example.condition = training_condition(batch, {.probability = 0}, seed);
  return example;
}

at::Tensor Ddpm::loss(const at::Tensor& prediction, const TrainingExample& example) const {
  return squared_error(prediction, example.target, example.weight);
}

}  // namespace titan::objectives
