// block.h: the two kinds of block of Flux.
//
// Between double blocks BlockState holds the image tokens in x, the text tokens in txt, and both
// residuals open: the image's in `open`, the text's in extra["txt.branch"], extra["txt.gate"]. The
// first single block closes both and joins the tokens in x, text first; from then on txt is
// undefined.
#pragma once

#include <memory>

#include "titan/models/flux/config.h"
#include "titan/models/flux/layers.h"
#include "titan/protocols/block.h"

namespace titan::models {

/// The text stream's open residual in `state`, taken out or put in.
Residual take_open_txt(BlockState& state);
void leave_open_txt(BlockState& state, Residual open);

/// Parameters "img_mod", "img_attn", "img_mlp", "txt_mod", "txt_attn", "txt_mlp". For s in image,
/// text, with one attention over both:
///
///   h_s   = x_s + gate1_s * proj_s(attention(norm(x_s) * (1 + scale1_s) + shift1_s))
///   out_s = h_s + gate2_s * mlp_s(norm(h_s) * (1 + scale2_s) + shift2_s)
class DoubleBlock : public Block {
 public:
  DoubleBlock(const FluxConfig& config, const at::TensorOptions& options);
  BlockState forward(BlockState state) override;

 private:
  struct Stream {
    std::shared_ptr<FluxModulation> modulation;
    std::shared_ptr<StreamProjections> attention;
    std::shared_ptr<GeluMlp> mlp;
  };
  Stream register_stream(const std::string& name, const at::TensorOptions& options);
  /// What follows attention in one stream: x becomes h, the feed-forward residual is left in
  /// `open`.
  void finish(const Stream& stream, const std::vector<BranchModulation>& modulation,
              const at::Tensor& attended, at::Tensor& x, Residual& open) const;

  FluxConfig config_;
  Stream img_, txt_;
};

/// Parameters "modulation", "linear1", "linear2", "norm": attention and feed-forward layer side by
/// side over the joined tokens,
///
///   a   = norm(x) * (1 + scale) + shift;   qkv, u = linear1(a)
///   out = x + gate * linear2(attention(qkv), gelu(u))
class SingleBlock : public Block {
 public:
  SingleBlock(const FluxConfig& config, const at::TensorOptions& options);
  BlockState forward(BlockState state) override;

 private:
  FluxConfig config_;
  std::shared_ptr<FluxModulation> modulation_;
  std::shared_ptr<Linear> linear1_, linear2_;
  std::shared_ptr<QkNorm> norm_;
};

}  // namespace titan::models
