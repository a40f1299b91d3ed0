// model.h: the class-conditional DiT as embed -> blocks -> head.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "titan/models/dit/block.h"
#include "titan/models/dit/config.h"
#include "titan/models/layers/embeddings.h"
#include "titan/models/layers/patches.h"
#include "titan/protocols/model.h"

namespace titan::models {

/// Input [B, C, H, W] of any size that the patch divides, t [B], condition "label" [B] int64
/// (num_classes = no condition); output of the input's shape. In context mode time and class are
/// two more tokens behind the patches, not rotated, cut off after the output projection.
class Dit : public Model {
 public:
  /// Parameters are allocated with `options` (also on the meta device), not filled. `config` has
  /// passed validate().
  explicit Dit(const DitConfig& config, const at::TensorOptions& options = {});

  BlockState embed(const at::Tensor& x_t, const at::Tensor& t,
                   const Conditioning& condition) override;
  std::vector<std::shared_ptr<Block>> blocks() const override { return blocks_; }
  at::Tensor head(const BlockState& state, at::IntArrayRef latent_shape) override;
  std::vector<std::string> head_parameters() const override;
  void initialize_parameter(std::uint64_t seed, const std::string& name,
                            const init::Slice& parameter) override;

  const DitConfig& config() const { return config_; }

 private:
  /// The tables of positions of a grid of patches.
  struct Grid {
    int64_t rows, columns;
    at::Tensor rope;
    at::Tensor positions;  ///< undefined without absolute_positions
  };
  /// Made at the first call for a grid.
  const Grid& grid(int64_t rows, int64_t columns, at::Device device);

  DitConfig config_;
  std::shared_ptr<PatchEmbedding> x_embedder_;
  std::shared_ptr<ClassEmbedding> y_embedder_;
  std::shared_ptr<TimeEmbedding> t_embedder_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::shared_ptr<NormLayer> norm_;
  std::shared_ptr<Linear> output_;
  std::vector<Grid> grids_;  ///< none is ever dropped: a recorded step reads its tables
};

/// The buffer "freqs_cis" of published state dicts: complex64 [tokens, head_dim / 2] for an input
/// of height x width. We hold it no longer than needed and write it on export only.
at::Tensor published_freqs_cis(const DitConfig& config, int64_t height, int64_t width);

}  // namespace titan::models
