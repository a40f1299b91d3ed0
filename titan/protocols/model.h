// model.h: embed -> blocks -> head.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "titan/protocols/block.h"
#include "titan/protocols/init.h"

namespace titan {

/// What the prediction is conditioned on: "label" [B] int64 (the null class = num_classes), text
/// encodings, guidance, ...
using Conditioning = NamedTensors;

/// Parameters that `embed` and `head` use are those registered outside the blocks; every one of
/// them belongs to exactly one of the two (parameters_of says which). Registered names are the
/// published state-dict names.
class Model : public torch::nn::Module {
 public:
  /// x_t: noisy latent or image [B, C, H, W] (or [B, C, T, H, W]); t [B] float32.
  virtual BlockState embed(const at::Tensor& x_t, const at::Tensor& t,
                           const Conditioning& condition) = 0;
  /// In the order in which they run; the same objects at every call.
  virtual std::vector<std::shared_ptr<Block>> blocks() const = 0;
  /// Prediction of the shape of x_t (latent_shape).
  virtual at::Tensor head(const BlockState& state, at::IntArrayRef latent_shape) = 0;

  /// Names (as in named_parameters) of the parameters that `head` uses; all others outside the
  /// blocks belong to `embed`.
  virtual std::vector<std::string> head_parameters() const = 0;

  /// Fills a slice of the parameter `name` with its initial values, a pure function of (seed, name,
  /// element): see protocols/init.h. Throws titan::Error for a name without a rule.
  virtual void initialize_parameter(std::uint64_t seed, const std::string& name,
                                    const init::Slice& parameter) = 0;

  /// Fills every parameter; they must have memory.
  void initialize(std::uint64_t seed);
};

/// One unit of the runner: embed (0), block i (i + 1), head (last).
struct ModelUnit {
  std::string name;                          ///< "embed", "block.0", ..., "head"
  std::vector<std::string> parameter_names;  ///< as in named_parameters()
  std::vector<at::Tensor> parameters;  ///< leaves, in the order of parameter_names; of the device
                                       ///< meta until they are given memory
};
/// The model's parameters split into units, each parameter in exactly one; throws titan::Error if
/// one is missing or doubled.
std::vector<ModelUnit> split_into_units(const Model& model);

}  // namespace titan
