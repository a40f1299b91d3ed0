#include <algorithm>

#include "titan/models/encoders/autoencoder_config.h"
#include "titan/models/encoders/autoencoder_table.h"
#include "titan/models/encoders/network_formats.h"

namespace titan::models {
namespace {

class AutoencoderNames : public NetworkNames {
 public:
  std::vector<std::string> formats() const override { return {"bfl", "diffusers"}; }
  std::string network() const override { return "an autoencoder"; }
  bool ignores(const std::string& /*name*/) const override { return false; }
  std::vector<TensorSpec> tensors(const std::vector<TensorSpec>& stored, const std::string& from,
                                  const std::string& to) const override {
    const AutoencoderLayout layout = autoencoder_layout_of(stored, from);
    const NetworkSizes sizes = autoencoder_sizes_of(stored, from, layout);
    return specs_of(autoencoder_table(layout, sizes, to), sizes);
  }
  std::string size(const std::vector<TensorSpec>& stored,
                   const std::string& format) const override {
    const AutoencoderLayout layout = autoencoder_layout_of(stored, format);
    const NetworkSizes sizes = autoencoder_sizes_of(stored, format, layout);
    std::string widths;
    constexpr int64_t kShown = 8;
    for (int64_t level = 0; level < std::min(layout.levels, kShown); ++level)
      widths += (level == 0 ? "" : ", ") + size_text(width_symbol(level), sizes);
    return str_cat(layout.levels, " levels of width ", widths, ", ", layout.blocks,
                   " blocks each, ", size_text("z", sizes), " latent channels");
  }
};

}  // namespace

std::shared_ptr<const WeightFormats> autoencoder_weight_formats() {
  return make_weight_formats(std::make_unique<AutoencoderNames>());
}

}  // namespace titan::models
