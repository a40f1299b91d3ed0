#include "titan/models/encoders/autoencoder_halves.h"

#include <ATen/ATen.h>

#include "titan/models/encoders/network_units.h"

namespace titan::models {
namespace {

/// Residual blocks from width `in` to width `out`, as "block.0", "block.1", ...
std::vector<std::shared_ptr<ResnetBlock>> add_blocks(torch::nn::Module& level, int64_t count,
                                                     int64_t in, int64_t out, int64_t groups,
                                                     const at::TensorOptions& options) {
  const auto parent = add_container(level, "block");
  std::vector<std::shared_ptr<ResnetBlock>> blocks;
  for (int64_t i = 0; i < count; ++i) {
    blocks.push_back(parent->register_module(
        std::to_string(i), std::make_shared<ResnetBlock>(i == 0 ? in : out, out, groups, options)));
  }
  return blocks;
}

/// The convolution behind a change of resolution, as "<name>.conv".
std::shared_ptr<Conv2d> add_resampling(torch::nn::Module& level, const char* name, int64_t width,
                                       const at::TensorOptions& options) {
  return add_container(level, name)
      ->register_module("conv", std::make_shared<Conv2d>(width, width, 3, options));
}

/// Channels last is the convolutions' faster layout; in float32 LibTorch's group norm on the CPU
/// adds up large pictures too roughly there (an error of 5e-4 at 256 x 256 instead of 2e-6).
at::Tensor in_best_layout(const at::Tensor& x) {
  const bool rough = x.is_cpu() && x.scalar_type() == at::kFloat;
  return x.contiguous(rough ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast);
}

}  // namespace

ImageEncoder::ImageEncoder(const AutoencoderConfig& config, const at::TensorOptions& options) {
  const int64_t groups = config.norm_groups;
  conv_in_ = register_module("conv_in",
                             std::make_shared<Conv2d>(config.in_channels, config.ch, 3, options));
  const auto down = add_container(*this, "down");
  int64_t width = config.ch;
  for (std::size_t i = 0; i < config.widths.size(); ++i) {
    const auto level = add_container(*down, std::to_string(i));
    Level& added = levels_.emplace_back();
    added.blocks = add_blocks(*level, config.blocks, width, config.widths[i], groups, options);
    width = config.widths[i];
    if (i + 1 < config.widths.size())
      added.downsample = add_resampling(*level, "downsample", width, options);
  }
  middle_ = register_module("mid", std::make_shared<MiddleBlock>(width, groups, options));
  norm_out_ = register_module("norm_out", std::make_shared<GroupNorm>(width, groups, options));
  conv_out_ = register_module("conv_out",
                              std::make_shared<Conv2d>(width, 2 * config.z_channels, 3, options));
}

at::Tensor ImageEncoder::forward(const at::Tensor& image) const {
  at::Tensor x = conv_in_->forward(in_best_layout(image));
  for (const Level& level : levels_) {
    for (const auto& block : level.blocks) x = block->forward(x);
    // Zeros to the right and below only, unlike a convolution's own padding.
    if (level.downsample)
      x = level.downsample->forward_halved(at::constant_pad_nd(x, {0, 1, 0, 1}));
  }
  return conv_out_->forward(norm_out_->forward_swish(middle_->forward(x)));
}

ImageDecoder::ImageDecoder(const AutoencoderConfig& config, const at::TensorOptions& options) {
  const int64_t groups = config.norm_groups;
  int64_t width = config.widths.back();
  conv_in_ =
      register_module("conv_in", std::make_shared<Conv2d>(config.z_channels, width, 3, options));
  middle_ = register_module("mid", std::make_shared<MiddleBlock>(width, groups, options));
  const auto up = add_container(*this, "up");
  levels_.resize(config.widths.size());
  for (std::size_t i = config.widths.size(); i-- > 0;) {
    const auto level = add_container(*up, std::to_string(i));
    levels_[i].blocks =
        add_blocks(*level, config.blocks + 1, width, config.widths[i], groups, options);
    width = config.widths[i];
    if (i > 0) levels_[i].upsample = add_resampling(*level, "upsample", width, options);
  }
  norm_out_ = register_module("norm_out", std::make_shared<GroupNorm>(width, groups, options));
  conv_out_ =
      register_module("conv_out", std::make_shared<Conv2d>(width, config.out_channels, 3, options));
}

at::Tensor ImageDecoder::forward(const at::Tensor& z) const {
  at::Tensor x = middle_->forward(conv_in_->forward(in_best_layout(z)));
  for (std::size_t i = levels_.size(); i-- > 0;) {
    for (const auto& block : levels_[i].blocks) x = block->forward(x);
    if (levels_[i].upsample) {
      x = levels_[i].upsample->forward(at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)}));
    }
  }
  return conv_out_->forward(norm_out_->forward_swish(x));
}

}  // namespace titan::models
