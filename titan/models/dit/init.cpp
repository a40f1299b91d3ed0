#include "titan/models/dit/init.h"

#include <cmath>
#include <cstdlib>

#include "titan/base/check.h"

namespace titan::models {
namespace {

constexpr double kStddev = 0.02;

bool ends_with(const std::string& name, const std::string& end) {
  return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

/// Standard deviation of what writes into the residual stream (and of w3): smaller the deeper, as
/// TorchDiTan has it.
double output_stddev(const DitConfig& config, const std::string& name) {
  const int64_t layer = std::strtoll(name.c_str() + std::string("layers.").size(), nullptr, 10);
  const int64_t depth = config.depth_init ? layer + 1 : config.n_layers;
  return kStddev / std::sqrt(2.0 * static_cast<double>(depth));
}

}  // namespace

void initialize_parameter(const DitConfig& config, std::uint64_t seed, const std::string& name,
                          const init::Slice& parameter) {
  const init::ParameterKey key{seed, name};
  const bool in_block = name.rfind("layers.", 0) == 0;
  const auto is = [&](const char* end) { return ends_with(name, end); };
  if (in_block && (is(".wq.weight") || is(".wk.weight") || is(".wv.weight") || is(".w1.weight"))) {
    init::truncated_normal_(parameter, key, kStddev);
  } else if (in_block && (is(".wo.weight") || is(".w2.weight") || is(".w3.weight"))) {
    init::truncated_normal_(parameter, key, output_stddev(config, name));
  } else if (name == "x_embedder.proj.weight") {
    init::xavier_uniform_(parameter, key);
  } else if (name == "y_embedder.embedding_table.weight" ||
             (name.rfind("t_embedder.", 0) == 0 && is(".weight"))) {
    init::normal_(parameter, key, kStddev);
  } else if (is("norm.weight")) {
    init::constant_(parameter, 1.0);
  } else if (is("norm.bias") || name.find(".adaLN_modulation.") != std::string::npos ||
             name.rfind("output.", 0) == 0 || name == "x_embedder.proj.bias" ||
             (name.rfind("t_embedder.", 0) == 0 && is(".bias"))) {
    // adaLN-Zero: every block starts as the identity, the output as zero. TorchDiTan leaves the
    // time biases as allocated.
    init::constant_(parameter, 0.0);
  } else {
    TITAN_CHECK(false, "[dit] a parameter has no initialiser (name=", name, ")");
  }
}

}  // namespace titan::models
