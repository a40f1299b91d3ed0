#include "titan/models/flux/init.h"

#include <algorithm>

#include "titan/base/check.h"

namespace titan::models {
namespace {

constexpr double kEmbedderStddev = 0.02;

bool starts(const std::string& name, const char* with) { return name.rfind(with, 0) == 0; }
bool ends(const std::string& name, const std::string& with) {
  return name.size() >= with.size() &&
         name.compare(name.size() - with.size(), with.size(), with) == 0;
}

}  // namespace

FluxInit flux_init(const std::string& name) {
  if (starts(name, "final_layer.") || ends(name, "_mod.lin.weight") ||
      ends(name, ".modulation.lin.weight") || ends(name, ".bias")) {
    return FluxInit::kZero;
  }
  if (ends(name, "_norm.scale")) return FluxInit::kOne;
  for (const char* embedder : {"time_in.", "vector_in.", "guidance_in."}) {
    if (starts(name, embedder) && ends(name, ".weight")) return FluxInit::kNormal;
  }
  const auto matrices = {"img_in.weight", "txt_in.weight", ".qkv.weight",     ".proj.weight",
                         "_mlp.0.weight", "_mlp.2.weight", ".linear1.weight", ".linear2.weight"};
  const bool is_matrix = std::any_of(matrices.begin(), matrices.end(),
                                     [&](const char* matrix) { return ends(name, matrix); });
  TITAN_CHECK(is_matrix, "[flux] a parameter has no initialiser (name=", name, ")");
  return FluxInit::kXavier;
}

void initialize_flux_parameter(std::uint64_t seed, const std::string& name,
                               const init::Slice& parameter) {
  const init::ParameterKey key{seed, name};
  switch (flux_init(name)) {
    case FluxInit::kZero:
      return init::constant_(parameter, 0.0);
    case FluxInit::kOne:
      return init::constant_(parameter, 1.0);
    case FluxInit::kNormal:
      return init::normal_(parameter, key, kEmbedderStddev);
    case FluxInit::kXavier:
      return init::xavier_uniform_(parameter, key);
  }
}

}  // namespace titan::models
