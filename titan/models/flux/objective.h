// objective.h: what Flux learns from preprocessed samples: the velocity noise - latent (Esser et
// al. 2024, arXiv:2403.03206), conditioned on encoded text.
#pragma once

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

#include "titan/base/philox.h"
#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/models/flux/config.h"
#include "titan/models/objectives/timesteps.h"
#include "titan/protocols/model_spec.h"
#include "titan/protocols/objective.h"

namespace titan::models {

/// Text as Flux takes it: of one prompt [L, C] and [P], of a batch [B, L, C] and [B, P].
struct TextEncoding {
  at::Tensor t5;    ///< a vector for each token
  at::Tensor clip;  ///< one for the whole text
};

/// The model sees (latent - shift) * scale.
struct LatentScaling {
  double shift = 0.1159;
  double scale = 0.3611;
};

// The steps of an example. Each operation rounds to the dtype of its tensors once; the scalars stay
// float32 within it.

/// mean + exp(logvar / 2) * eps: a draw from the autoencoder's posterior.
at::Tensor posterior_sample(const at::Tensor& mean, const at::Tensor& logvar,
                            const at::Tensor& eps);
/// (z - shift) * scale, and back.
at::Tensor scale_latents(const at::Tensor& z, const LatentScaling& scaling);
at::Tensor unscale_latents(const at::Tensor& x, const LatentScaling& scaling);
/// (1 - t) * x + t * noise, with t [B].
at::Tensor mix_noise(const at::Tensor& x, const at::Tensor& noise, const at::Tensor& t);
/// The encoding of the empty prompt ([L, C], [P]) in the rows where `drop` [B] is true: both
/// encodings of a sample together.
TextEncoding drop_text(const TextEncoding& text, const TextEncoding& empty, const at::Tensor& drop);

struct FluxObjectiveOptions {
  LatentScaling scaling = {};
  objectives::TimestepOptions timesteps = {};
  objectives::LossWeight weight = objectives::LossWeight::kNone;
  double dropout = 0;                   ///< share of the samples trained on the empty prompt
  TextEncoding empty = {};              ///< of the empty prompt; needed where dropout > 0
  std::optional<double> guidance = {};  ///< what a model with a guidance embedding is told
};

/// Batches carry "mean" and "logvar" [B, C, H, W] (or "image", latents without a spread),
/// "t5_encodings" [B, L, C] and "clip_encodings" [B, P], in any floating dtype. The example is
/// computed in float32, the conditions "txt" and "y" keep their dtype.
class FluxObjective : public Objective {
 public:
  FluxObjective(FluxObjectiveOptions options, std::uint64_t seed);

  TrainingExample prepare(const Batch& batch) const override;
  TrainingExample prepare_evaluation(const Batch& batch, const at::Tensor& timestep,
                                     std::uint64_t seed) const override;
  at::Tensor loss(const at::Tensor& prediction, const TrainingExample& example) const override;

  /// The example for given latents x [B, C, H, W], noise and timesteps [B], without a condition.
  static TrainingExample mix(const at::Tensor& x, const at::Tensor& noise, const at::Tensor& t);

 private:
  at::Tensor latents(const Batch& batch, const at::Tensor& epoch, std::uint64_t seed,
                     RandomPurpose purpose) const;
  const TextEncoding& empty_for(const TextEncoding& text) const;
  Conditioning condition(const Batch& batch, const at::Tensor& drop) const;

  FluxObjectiveOptions options_;
  mutable TextEncoding empty_;  ///< options_.empty where the batches are: copied at the first one
  std::uint64_t seed_;
};

/// The options that [objective], [encoder] and training.class_dropout_prob ask for. Errors: data
/// without latents or encodings, dropout without encodings of the empty prompt or with such of
/// another size.
StatusOr<FluxObjectiveOptions> flux_objective_options(const JobConfig& config,
                                                      const FluxConfig& model,
                                                      const DataShape& shape,
                                                      const BatchEncoder* encoder);

}  // namespace titan::models
