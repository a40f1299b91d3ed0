#include "titan/models/encoders/autoencoder_table.h"

#include <utility>

#include "titan/base/check.h"

namespace titan::models {
namespace {

constexpr std::pair<const char*, const char*> kProjections[] = {
    {"q", "to_q"}, {"k", "to_k"}, {"v", "to_v"}, {"proj_out", "to_out.0"}};

/// Collects a table; every name is given twice, Black Forest Labs' first.
class TableBuilder {
 public:
  TableBuilder(const AutoencoderLayout& layout, const NetworkSizes& sizes, bool diffusers)
      : layout_(layout), sizes_(sizes), diffusers_(diffusers) {}

  std::vector<SymbolicTensor> build() {
    add_encoder();
    add_decoder();
    return std::move(table_);
  }

 private:
  void add(const std::string& name, std::vector<std::string> weight_shape) {
    const std::string rows = weight_shape.front();
    table_.push_back({name + ".weight", std::move(weight_shape)});
    table_.push_back({name + ".bias", {rows}});
  }
  void add_norm(const std::string& name, const std::string& width) { add(name, {width}); }
  void add_conv(const std::string& name, const std::string& out, const std::string& in,
                const char* side = "3") {
    add(name, {out, in, side, side});
  }

  void add_block(const std::string& name, const std::string& in, const std::string& out) {
    add_norm(name + ".norm1", in);
    add_conv(name + ".conv1", out, in);
    add_norm(name + ".norm2", out);
    add_conv(name + ".conv2", out, out);
    if (size_value(in, sizes_) != size_value(out, sizes_))
      add_conv(name + pick(".nin_shortcut", ".conv_shortcut"), out, in, "1");
  }

  void add_middle(const std::string& half) {
    const std::string width = width_symbol(layout_.levels - 1);
    const std::string middle = half + pick(".mid.", ".mid_block.");
    add_block(middle + pick("block_1", "resnets.0"), width, width);
    const std::string attention = middle + pick("attn_1.", "attentions.0.");
    add_norm(attention + pick("norm", "group_norm"), width);
    for (const auto& [bfl, diffusers] : kProjections) {
      const std::string name = attention + pick(bfl, diffusers);
      if (diffusers_) {
        add(name, {width, width});
      } else {
        add_conv(name, width, width, "1");
      }
    }
    add_block(middle + pick("block_2", "resnets.1"), width, width);
  }

  void add_encoder() {
    add_conv("encoder.conv_in", "ch", "in");
    for (int64_t level = 0; level < layout_.levels; ++level) {
      const std::string width = width_symbol(level);
      const std::string name = str_cat(pick("encoder.down.", "encoder.down_blocks."), level, ".");
      for (int64_t block = 0; block < layout_.blocks; ++block) {
        const std::string before = level == 0 ? "ch" : width_symbol(level - 1);
        add_block(str_cat(name, pick("block.", "resnets."), block), block == 0 ? before : width,
                  width);
      }
      if (level + 1 < layout_.levels)
        add_conv(name + pick("downsample.conv", "downsamplers.0.conv"), width, width);
    }
    add_middle("encoder");
    const std::string last = width_symbol(layout_.levels - 1);
    add_norm(pick("encoder.norm_out", "encoder.conv_norm_out"), last);
    add_conv("encoder.conv_out", "2z", last);
  }

  void add_decoder() {
    add_conv("decoder.conv_in", width_symbol(layout_.levels - 1), "z");
    add_middle("decoder");
    for (int64_t level = layout_.levels - 1; level >= 0; --level) {
      const std::string width = width_symbol(level);
      // diffusers counts in the order of computation, Black Forest Labs by resolution.
      const std::string name = diffusers_
                                   ? str_cat("decoder.up_blocks.", layout_.levels - 1 - level)
                                   : str_cat("decoder.up.", level);
      for (int64_t block = 0; block <= layout_.blocks; ++block) {
        const std::string before = level + 1 == layout_.levels ? width : width_symbol(level + 1);
        add_block(str_cat(name, pick(".block.", ".resnets."), block), block == 0 ? before : width,
                  width);
      }
      if (level > 0) add_conv(name + pick(".upsample.conv", ".upsamplers.0.conv"), width, width);
    }
    add_norm(pick("decoder.norm_out", "decoder.conv_norm_out"), width_symbol(0));
    add_conv("decoder.conv_out", "out", width_symbol(0));
  }

  std::string pick(const char* bfl, const char* diffusers) const {
    return diffusers_ ? diffusers : bfl;
  }

  const AutoencoderLayout& layout_;
  const NetworkSizes& sizes_;
  bool diffusers_;
  std::vector<SymbolicTensor> table_;
};

}  // namespace

AutoencoderLayout autoencoder_layout_of(const std::vector<TensorSpec>& stored,
                                        const std::string& format) {
  const bool diffusers = format == "diffusers";
  const std::string down = diffusers ? "encoder.down_blocks." : "encoder.down.";
  return {.levels = count_numbered(stored, down),
          .blocks = count_numbered(stored, down + (diffusers ? "0.resnets." : "0.block."))};
}

std::string width_symbol(int64_t level) { return str_cat("w", level); }

NetworkSizes autoencoder_sizes_of(const std::vector<TensorSpec>& stored, const std::string& format,
                                  const AutoencoderLayout& layout) {
  // Without sizes there are no shortcuts in the table; nobody needs their vote.
  return vote_sizes(autoencoder_table(layout, {}, format), stored);
}

std::vector<SymbolicTensor> autoencoder_table(const AutoencoderLayout& layout,
                                              const NetworkSizes& sizes,
                                              const std::string& format) {
  if (layout.levels < 1 || layout.blocks < 1) return {};
  return TableBuilder(layout, sizes, format == "diffusers").build();
}

}  // namespace titan::models
