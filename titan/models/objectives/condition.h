// condition.h: what the prediction is conditioned on while training.
#pragma once

#include <cstdint>

#include "titan/data/batch.h"
#include "titan/protocols/model.h"

namespace titan::objectives {

/// Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598): a share of the samples is
/// trained without its class.
struct ClassDropout {
  double probability = 0.1;
  std::int64_t null_class = 0;  ///< id of "no class": the number of classes
};

/// All fields of the batch but "image". "label" is replaced by the null class with the given
/// probability, keyed by RandomPurpose::kConditionDropout.
Conditioning training_condition(const Batch& batch, const ClassDropout& dropout,
                                std::uint64_t seed);

/// The field "image" in float32; throws titan::Error where the batch has none.
at::Tensor image_of(const Batch& batch);

/// Standard normals [B, tail...] for evaluation: of a sample the same at every evaluation, whatever
/// the epoch.
at::Tensor evaluation_noise(const Batch& batch, at::IntArrayRef tail_shape, std::uint64_t seed);

/// Mean squared error of each sample in float32, times `weight` [B] where defined: [B].
at::Tensor squared_error(const at::Tensor& prediction, const at::Tensor& target,
                         const at::Tensor& weight);

}  // namespace titan::objectives
