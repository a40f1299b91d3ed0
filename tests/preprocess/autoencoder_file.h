// An autoencoder's weights as the golden cases fill them, under Black Forest Labs' names. Include
// catch.h first.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace titan::testing {

struct AutoencoderSizes {
  int64_t ch = 32;
  std::vector<int64_t> ch_mult = {1, 2, 4, 4};
  int64_t blocks = 2;
  int64_t z = 16;
};

/// Every tensor of the network, filled by name: base +- amp / 2, base 1 for weights of norms.
class AutoencoderFile {
 public:
  AutoencoderFile(const AutoencoderSizes& sizes, double amp) : sizes_(sizes), amp_(amp) {
    const auto levels = static_cast<int64_t>(sizes.ch_mult.size());
    const auto width = [&](int64_t level) {
      return sizes.ch * sizes.ch_mult[static_cast<std::size_t>(level)];
    };
    const int64_t deepest = width(levels - 1);
    conv("encoder.conv_in", 3, sizes.ch, 3);
    int64_t in = sizes.ch;
    for (int64_t level = 0; level < levels; ++level) {
      const std::string name = "encoder.down." + std::to_string(level);
      for (int64_t i = 0; i < sizes.blocks; ++i, in = width(level))
        block(name + ".block." + std::to_string(i), in, width(level));
      if (level + 1 < levels) conv(name + ".downsample.conv", in, in, 3);
    }
    middle("encoder", deepest);
    norm("encoder.norm_out", deepest);
    conv("encoder.conv_out", deepest, 2 * sizes.z, 3);
    conv("decoder.conv_in", sizes.z, deepest, 3);
    middle("decoder", deepest);
    for (int64_t level = levels - 1; level >= 0; --level) {
      const std::string name = "decoder.up." + std::to_string(level);
      for (int64_t i = 0; i <= sizes.blocks; ++i, in = width(level))
        block(name + ".block." + std::to_string(i), in, width(level));
      if (level > 0) conv(name + ".upsample.conv", in, in, 3);
    }
    norm("decoder.norm_out", in);
    conv("decoder.conv_out", in, 3, 3);
  }

  const std::vector<std::pair<std::string, at::Tensor>>& tensors() const { return tensors_; }

 private:
  void add(const std::string& name, const std::vector<int64_t>& shape) {
    const bool norm_weight = name.find("norm") != std::string::npos && name.ends_with("weight");
    tensors_.emplace_back(name, fill(name, shape, norm_weight ? 1 : 0));
  }
  /// A hash of (name, index), appendix A of the specification.
  at::Tensor fill(const std::string& name, const std::vector<int64_t>& shape, double base) const {
    std::uint32_t hash = 2166136261U;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    at::Tensor values = at::empty(shape, at::kFloat);
    auto* out = values.mutable_data_ptr<float>();
    for (int64_t i = 0; i < values.numel(); ++i) {
      std::uint32_t x = hash + static_cast<std::uint32_t>(i) * 0x9E3779B9U;
      x = (x ^ (x >> 16)) * 0x85EBCA6BU;
      x = (x ^ (x >> 13)) * 0xC2B2AE35U;
      x ^= x >> 16;
      out[i] = static_cast<float>(base + amp_ * (x / 4294967296.0 - 0.5));
    }
    return values;
  }
  void conv(const std::string& name, int64_t in, int64_t out, int64_t kernel) {
    add(name + ".weight", {out, in, kernel, kernel});
    add(name + ".bias", {out});
  }
  void norm(const std::string& name, int64_t width) {
    add(name + ".weight", {width});
    add(name + ".bias", {width});
  }
  void block(const std::string& name, int64_t in, int64_t out) {
    norm(name + ".norm1", in);
    conv(name + ".conv1", in, out, 3);
    norm(name + ".norm2", out);
    conv(name + ".conv2", out, out, 3);
    if (in != out) conv(name + ".nin_shortcut", in, out, 1);
  }
  void middle(const std::string& side, int64_t width) {
    block(side + ".mid.block_1", width, width);
    norm(side + ".mid.attn_1.norm", width);
    for (const char* part : {"q", "k", "v", "proj_out"})
      conv(side + ".mid.attn_1." + part, width, width, 1);
    block(side + ".mid.block_2", width, width);
  }

  AutoencoderSizes sizes_;
  double amp_;
  std::vector<std::pair<std::string, at::Tensor>> tensors_;
};

}  // namespace titan::testing
