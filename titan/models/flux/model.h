// model.h: Flux as embed -> blocks -> head.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "titan/models/flux/block.h"
#include "titan/models/flux/config.h"
#include "titan/models/flux/head.h"
#include "titan/protocols/model.h"

namespace titan::models {

/// Input: latents [B, C, H, W] with even H and W, t [B] or [1] float32 in [0, 1], condition "txt"
/// [B, L, context_in_dim] (text tokens), "y" [B, vec_in_dim] (pooled text) and, with
/// guidance_embed, "guidance" [B] (the scale itself, as 3.5). Output: latents of the input's shape.
/// The timestep's sinusoid, the rotary table and the norms' arithmetic are float32 whatever the
/// parameters' dtype.
class Flux : public Model {
 public:
  /// Parameters are allocated with `options` (also on the meta device), not filled. `config` has
  /// passed validate().
  explicit Flux(const FluxConfig& config, const at::TensorOptions& options = {});

  BlockState embed(const at::Tensor& x_t, const at::Tensor& t,
                   const Conditioning& condition) override;
  std::vector<std::shared_ptr<Block>> blocks() const override { return blocks_; }
  at::Tensor head(const BlockState& state, at::IntArrayRef latent_shape) override;
  std::vector<std::string> head_parameters() const override;
  void initialize_parameter(std::uint64_t seed, const std::string& name,
                            const init::Slice& parameter) override;

  const FluxConfig& config() const { return config_; }

 private:
  void check_inputs(const at::Tensor& x_t, const at::Tensor& t,
                    const Conditioning& condition) const;
  at::Tensor conditioning_vector(const at::Tensor& t, const Conditioning& condition) const;
  at::Tensor rope_table(int64_t text_tokens, int64_t rows, int64_t columns, at::Device device);

  /// A rotary table and what it was made for.
  struct RopeTable {
    int64_t text_tokens, rows, columns;
    at::Tensor table;
  };

  FluxConfig config_;
  std::shared_ptr<Linear> img_in_, txt_in_;
  std::shared_ptr<MlpEmbedder> time_in_, vector_in_;
  std::shared_ptr<MlpEmbedder> guidance_in_;  ///< null without guidance_embed
  std::vector<std::shared_ptr<Block>> blocks_;
  std::shared_ptr<LastLayer> final_layer_;
  std::vector<RopeTable> rope_;  ///< none is ever dropped: a recorded step reads its table
};

}  // namespace titan::models
