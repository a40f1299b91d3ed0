#include "titan/models/flux/objective.h"

#include <utility>

#include <ATen/ops/full.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include "titan/base/check.h"
#include "titan/models/flux/empty_text.h"
#include "titan/models/objectives/condition.h"
#include "titan/models/objectives/registry.h"
#include "titan/ops/philox.h"

namespace titan::models {
namespace {

at::Tensor field(const Batch& batch, const char* name) {
  const at::Tensor tensor = batch.fields.get(name);
  TITAN_CHECK(tensor.defined(), "[flux] the batch has no field \"", name, "\"");
  return tensor;
}

/// One operation with float32 scalars on a tensor of any dtype: rounded once, as CUDA's kernels do
/// and PyTorch's CPU kernels for bfloat16 do not.
template <class Operation>
at::Tensor rounded_once(const at::Tensor& tensor, const Operation& operation) {
  return operation(tensor.to(at::kFloat)).to(tensor.scalar_type());
}

at::Tensor per_sample(const at::Tensor& values, int64_t dims) {
  std::vector<int64_t> sizes(static_cast<std::size_t>(dims), 1);
  sizes[0] = -1;
  return values.view(sizes);
}

}  // namespace

at::Tensor posterior_sample(const at::Tensor& mean, const at::Tensor& logvar,
                            const at::Tensor& eps) {
  return mean + (0.5 * logvar).exp_() * eps;
}

at::Tensor scale_latents(const at::Tensor& z, const LatentScaling& scaling) {
  const at::Tensor moved =
      rounded_once(z, [&](const at::Tensor& value) { return value - scaling.shift; });
  return rounded_once(moved, [&](const at::Tensor& value) { return value * scaling.scale; });
}

at::Tensor unscale_latents(const at::Tensor& x, const LatentScaling& scaling) {
  return x / scaling.scale + scaling.shift;
}

at::Tensor mix_noise(const at::Tensor& x, const at::Tensor& noise, const at::Tensor& t) {
  const at::Tensor share = per_sample(t, x.dim());
  return (1 - share) * x + share * noise;
}

TextEncoding drop_text(const TextEncoding& text, const TextEncoding& empty,
                       const at::Tensor& drop) {
  const auto choose = [&](const at::Tensor& full, const at::Tensor& none) {
    return at::where(per_sample(drop, full.dim()), none.to(full.options()), full);
  };
  return {choose(text.t5, empty.t5), choose(text.clip, empty.clip)};
}

FluxObjective::FluxObjective(FluxObjectiveOptions options, std::uint64_t seed)
    : options_(std::move(options)), seed_(seed) {
  TITAN_CHECK(options_.dropout == 0 || options_.empty.t5.defined(),
              "[flux] prompts are dropped for the encoding of the empty one (dropout=",
              options_.dropout, ")");
}

at::Tensor FluxObjective::latents(const Batch& batch, const at::Tensor& epoch, std::uint64_t seed,
                                  RandomPurpose purpose) const {
  at::Tensor z = batch.fields.get("image");
  if (z.defined()) {
    z = z.to(at::kFloat);
  } else {
    const at::Tensor mean = field(batch, "mean").to(at::kFloat);
    z = posterior_sample(
        mean, field(batch, "logvar").to(at::kFloat),
        ops::philox_normal(batch.sample, epoch, mean.sizes().slice(1), seed, purpose));
  }
  return scale_latents(z, options_.scaling);
}

/// A copy from the host's memory in every step would be one in a recorded step, which cannot be.
const TextEncoding& FluxObjective::empty_for(const TextEncoding& text) const {
  const auto place = [](at::Tensor& kept, const at::Tensor& from, const at::Tensor& like) {
    if (!kept.defined() || kept.device() != like.device() ||
        kept.scalar_type() != like.scalar_type())
      kept = from.to(like.options());
  };
  place(empty_.t5, options_.empty.t5, text.t5);
  place(empty_.clip, options_.empty.clip, text.clip);
  return empty_;
}

Conditioning FluxObjective::condition(const Batch& batch, const at::Tensor& drop) const {
  TextEncoding text{field(batch, "t5_encodings"), field(batch, "clip_encodings")};
  if (drop.defined()) text = drop_text(text, empty_for(text), drop);
  Conditioning result;
  result.set("txt", text.t5);
  result.set("y", text.clip);
  if (options_.guidance) {
    result.set("guidance", at::full({text.clip.size(0)}, *options_.guidance,
                                    text.clip.options().dtype(at::kFloat)));
  }
  return result;
}

TrainingExample FluxObjective::mix(const at::Tensor& x, const at::Tensor& noise,
                                   const at::Tensor& t) {
  TrainingExample example;
  example.x_t = mix_noise(x, noise, t);
  example.t = t;
  example.target = noise - x;
  return example;
}

TrainingExample FluxObjective::prepare(const Batch& batch) const {
  const at::Tensor x = latents(batch, batch.epoch, seed_, RandomPurpose::kLatent);
  const at::Tensor noise = ops::philox_normal(batch.sample, batch.epoch, x.sizes().slice(1), seed_,
                                              RandomPurpose::kNoise);
  const at::Tensor t = objectives::draw_sigma(options_.timesteps, batch.sample, batch.epoch, seed_);
  TrainingExample example = mix(x, noise, t);
  example.weight = objectives::loss_weight(options_.weight, t);
  at::Tensor drop;
  if (options_.dropout > 0) {
    drop =
        ops::philox_uniform(batch.sample, batch.epoch, {}, seed_, RandomPurpose::kConditionDropout)
            .lt(options_.dropout);
  }
  example.condition = condition(batch, drop);
  return example;
}

TrainingExample FluxObjective::prepare_evaluation(const Batch& batch, const at::Tensor& timestep,
                                                  std::uint64_t seed) const {
  const at::Tensor x =
      latents(batch, at::zeros_like(batch.sample), seed, RandomPurpose::kEvalLatent);
  const at::Tensor t = timestep.to(at::kFloat) / static_cast<double>(kEvalTimesteps);
  TrainingExample example =
      mix(x, objectives::evaluation_noise(batch, x.sizes().slice(1), seed), t);
  example.condition = condition(batch, {});
  return example;
}

at::Tensor FluxObjective::loss(const at::Tensor& prediction, const TrainingExample& example) const {
  return objectives::squared_error(prediction, example.target, example.weight);
}

StatusOr<FluxObjectiveOptions> flux_objective_options(const JobConfig& config,
                                                      const FluxConfig& model,
                                                      const DataShape& shape,
                                                      const BatchEncoder* encoder) {
  TITAN_ASSIGN_OR_RETURN(const objectives::RectifiedFlowOptions flow,
                         objectives::rectified_flow_options(config.objective));
  FluxObjectiveOptions options{
      .scaling = {config.encoder.autoencoder_shift, config.encoder.autoencoder_scale},
      .timesteps = flow.timesteps,
      .weight = flow.weight,
      .dropout = config.training.class_dropout_prob};
  if (model.guidance_embed) options.guidance = config.objective.guidance;
  for (const char* name : {"t5_encodings", "clip_encodings"}) {
    if (shape.has(name)) continue;
    return invalid_argument(
        "[flux] the samples of training.dataset=", config.training.dataset, " have no \"", name,
        "\": Flux trains on latents and encoded text. Name the encoders of images and captions "
        "(encoder.t5_encoder, encoder.clip_encoder, encoder.autoencoder_path), or preprocessed "
        "samples (docs/flux.md)");
  }
  if (options.dropout > 0) {
    TITAN_ASSIGN_OR_RETURN(options.empty, empty_text(config, shape, encoder));
  }
  return options;
}

}  // namespace titan::models
