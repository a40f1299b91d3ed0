#include "titan/models/dit/config.h"

#include "titan/models/layers/embeddings.h"
#include "titan/models/layers/feed_forward.h"
#include "titan/models/layers/norm.h"

namespace titan::models {
namespace {

struct Flavor {
  const char* name;
  int64_t dim, n_layers, n_heads;
};

// debugmodel, S, L, 1B, 7B are TorchDiTan's; B and XL have the DiT paper's width, depth and heads.
constexpr Flavor kFlavors[] = {
    {"debugmodel", 256, 8, 16}, {"S", 384, 12, 8},    {"B", 768, 12, 12},   {"L", 1024, 24, 16},
    {"0.5B", 1024, 24, 16},     {"XL", 1152, 28, 16}, {"1B", 1536, 32, 32}, {"7B", 2560, 60, 64},
};

}  // namespace

int64_t DitConfig::ffn_hidden() const {
  return swiglu_hidden(dim, multiple_of, ffn_dim_multiplier);
}

std::vector<std::string> dit_flavors() {
  std::vector<std::string> names;
  for (const Flavor& flavor : kFlavors) names.emplace_back(flavor.name);
  return names;
}

StatusOr<DitConfig> dit_flavor(const std::string& name) {
  const std::string prefix = "DiT-";
  const std::string wanted = name.rfind(prefix, 0) == 0 ? name.substr(prefix.size()) : name;
  std::string known;
  for (const Flavor& flavor : kFlavors) {
    if (wanted == flavor.name) {
      DitConfig config;
      config.dim = flavor.dim;
      config.n_layers = flavor.n_layers;
      config.n_heads = flavor.n_heads;
      return config;
    }
    known += (known.empty() ? "" : ", ") + std::string(flavor.name);
  }
  return invalid_argument("[dit] unknown model.flavor=\"", name, "\"; known flavors: ", known);
}

Status validate(const DitConfig& config, int64_t height, int64_t width) {
  std::string problems;
  const auto require = [&](bool rule, const std::string& text) {
    if (!rule) problems += (problems.empty() ? "" : "; ") + text;
  };
  require(config.dim % config.n_heads == 0 && config.head_dim() % 4 == 0,
          str_cat("dim / n_heads must be a multiple of 4 (dim=", config.dim,
                  ", n_heads=", config.n_heads, ")"));
  require(!config.absolute_positions || config.dim % 4 == 0,
          str_cat("absolute_positions need a dim that 4 divides (dim=", config.dim, ")"));
  require(config.n_heads % config.kv_heads() == 0,
          str_cat("n_kv_heads must divide n_heads (n_kv_heads=", config.kv_heads(),
                  ", n_heads=", config.n_heads, ")"));
  require(config.in_channels > 0, "in_channels is 0 and the data set does not say");
  require(config.num_classes > 0, "num_classes is 0 and the data set does not say");
  require(
      height > 0 && width > 0 && height % config.patch_size == 0 && width % config.patch_size == 0,
      str_cat("patch_size must divide the image (patch_size=", config.patch_size,
              ", image=", height, "x", width, ")"));
  return problems.empty() ? ok_status() : invalid_argument("[dit] ", problems);
}

int64_t parameter_count(const DitConfig& c) {
  const int64_t d = c.dim;
  const int64_t patch = c.in_channels * c.patch_size * c.patch_size;
  const int64_t norm = norm_parameter_count(c.norm_type, d);
  const int64_t attention = 2 * d * d + 2 * d * c.kv_heads() * c.head_dim();
  const int64_t modulation = c.adaln() ? 6 * d * d + 6 * d : 0;
  const int64_t block = attention + 3 * d * c.ffn_hidden() + 2 * norm + modulation;
  const int64_t time = TimeEmbedding::kWidth * d + d + d * d + d;
  return patch * d + d + (c.num_classes + 1) * d + time + c.n_layers * block + norm + d * patch +
         patch;
}

}  // namespace titan::models
