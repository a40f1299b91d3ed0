#include "titan/models/flux/config.h"

#include <algorithm>
#include <numeric>

namespace titan::models {
namespace {

constexpr std::size_t kAxes = 3;  // position axes of a token: 0, row, column

/// flux-schnell is the benchmark's model: its values are the defaults.
StatusOr<FluxConfig> known_flavor(const std::string& name) {
  FluxConfig config;
  if (name == "schnell") return config;
  if (name == "dev") {
    config.guidance_embed = true;
    config.qk_norm_eps = 1e-6;
    return config;
  }
  if (name == "debug") {
    config.context_in_dim = 512;
    config.depth = 2;
    config.depth_single_blocks = 2;
    return config;
  }
  std::string known;
  for (const std::string& flavor : flux_flavors()) known += (known.empty() ? "" : ", ") + flavor;
  return invalid_argument("[flux] unknown model.flavor=\"", name, "\"; known flavors: ", known);
}

/// Adds up the parameters of linear maps and norm scales.
class Counter {
 public:
  void linear(int64_t in, int64_t out, bool bias = true, int64_t times = 1) {
    total_.numbers += times * (in * out + (bias ? out : 0));
    total_.tensors += times * (bias ? 2 : 1);
  }
  void embedder(int64_t in, int64_t hidden) {
    linear(in, hidden);
    linear(hidden, hidden);
  }
  void scale(int64_t width, int64_t times) {
    total_.numbers += times * width;
    total_.tensors += times;
  }
  ParameterCount total() const { return total_; }

 private:
  ParameterCount total_;
};

}  // namespace

std::vector<std::string> flux_flavors() { return {"flux-schnell", "flux-dev", "flux-debug"}; }

StatusOr<FluxConfig> flux_flavor(const std::string& name) {
  const std::string prefix = "flux-";
  return known_flavor(name.rfind(prefix, 0) == 0 ? name.substr(prefix.size()) : name);
}

Status validate(const FluxConfig& config) {
  std::string problems;
  const auto require = [&](bool rule, const std::string& text) {
    if (!rule) problems += (problems.empty() ? "" : "; ") + text;
  };
  const int64_t patch = FluxConfig::kPatch * FluxConfig::kPatch;
  require(config.in_channels % patch == 0 && config.outputs() % patch == 0,
          str_cat("in_channels and out_channels must be multiples of 4, a 2 x 2 patch of latents "
                  "(in_channels=",
                  config.in_channels, ", out_channels=", config.outputs(), ")"));
  require(config.hidden_size % config.num_heads == 0,
          str_cat("num_heads must divide hidden_size (hidden_size=", config.hidden_size,
                  ", num_heads=", config.num_heads, ")"));
  require(config.axes_dim.size() == kAxes,
          str_cat("axes_dim must have 3 entries (axes_dim has ", config.axes_dim.size(), ")"));
  require(std::all_of(config.axes_dim.begin(), config.axes_dim.end(),
                      [](int64_t dim) { return dim > 0 && dim % 2 == 0; }),
          "every entry of axes_dim must be even and positive");
  const int64_t sum = std::accumulate(config.axes_dim.begin(), config.axes_dim.end(), int64_t{0});
  require(sum == config.head_dim(),
          str_cat("axes_dim must add up to hidden_size / num_heads (sum=", sum,
                  ", hidden_size / num_heads=", config.head_dim(), ")"));
  require(config.mlp_hidden() > 0, str_cat("mlp_ratio is too small (mlp_ratio=", config.mlp_ratio,
                                           ", hidden_size=", config.hidden_size, ")"));
  return problems.empty() ? ok_status() : invalid_argument("[flux] ", problems);
}

ParameterCount parameter_count(const FluxConfig& c) {
  const int64_t h = c.hidden_size, mlp = c.mlp_hidden();
  Counter counter;
  counter.linear(c.in_channels, h);
  counter.linear(c.context_in_dim, h);
  counter.embedder(FluxConfig::kTimeWidth, h);
  counter.embedder(c.vec_in_dim, h);
  if (c.guidance_embed) counter.embedder(FluxConfig::kTimeWidth, h);
  const int64_t streams = 2 * c.depth;  // image and text
  counter.linear(h, 6 * h, true, streams);
  counter.linear(h, 3 * h, c.qkv_bias, streams);
  counter.linear(h, h, true, streams);
  counter.linear(h, mlp, true, streams);
  counter.linear(mlp, h, true, streams);
  counter.linear(h, 3 * h, true, c.depth_single_blocks);
  counter.linear(h, 3 * h + mlp, true, c.depth_single_blocks);
  counter.linear(h + mlp, h, true, c.depth_single_blocks);
  counter.scale(c.head_dim(), 2 * (streams + c.depth_single_blocks));
  counter.linear(h, 2 * h);
  counter.linear(h, c.outputs());
  return counter.total();
}

}  // namespace titan::models
