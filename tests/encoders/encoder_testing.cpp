#include "tests/support/catch.h"

#include "tests/encoders/encoder_testing.h"

#include <cmath>
#include <utility>

#include "titan/base/check.h"
#include "titan/checkpoint/recipe_reader.h"
#include "titan/data/tensor_file.h"
#include "titan/train/run_weights.h"

#include "tests/support/fill.h"

namespace titan::testing {

namespace fs = std::filesystem;
constexpr const char* kEnding = "_outputs";

std::vector<fs::path> encoder_cases(const std::string& folder) {
  std::vector<fs::path> cases;
  for (const fs::path& path : golden_cases("encoders/" + folder))
    if (path.string().ends_with(kEnding) && fs::exists(path.string() + ".safetensors"))
      cases.push_back(path);
  return cases;
}

EncoderCase load_encoder_case(const fs::path& path) {
  const std::string name = path.filename().string();
  return {.golden = load_golden(path),
          .folder = path.parent_path(),
          .stem = name.substr(0, name.size() - std::string(kEnding).size())};
}

std::set<std::string> EncoderCase::runs_with(const std::string& field) const {
  std::set<std::string> runs;
  for (const auto& [name, tensor] : golden.tensors) {
    const std::size_t dot = name.find('.');
    if (dot != std::string::npos && name.substr(dot + 1) == field) runs.insert(name.substr(0, dot));
  }
  TITAN_CHECK(!runs.empty(), "[golden] case ", golden.name, " has no run with ", field);
  return runs;
}

std::string EncoderCase::model_folder() const {
  return (folder / golden.json.at("model_folder").get<std::string>()).string();
}

std::vector<checkpoint::CheckpointItem> items_of(const FrozenNetwork& network) {
  std::vector<checkpoint::CheckpointItem> items;
  for (const ModelUnit& unit : network.units()) {
    for (std::size_t i = 0; i < unit.parameters.size(); ++i) {
      const at::Tensor& values = unit.parameters[i];
      items.push_back({.prefix = "model",
                       .flat = values.view({-1}),
                       .fragments = {{.name = unit.parameter_names[i],
                                      .shape = values.sizes().vec(),
                                      .length = values.numel()}}});
    }
  }
  return items;
}

Status load_network(const FrozenNetwork& network, const std::string& path) {
  const std::vector<checkpoint::CheckpointItem> items = items_of(network);
  return load_published_weights(path, *network.weight_formats(), items,
                                checkpoint::tensors_of(items), /*verify=*/true);
}

std::string write_filled(const TemporaryFolder& folder, const FrozenNetwork& network,
                         const SpreadOf& spread) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& parameter : network.named_parameters()) {
    const Spread values = spread(parameter.key());
    tensors.emplace_back(parameter.key(),
                         fill(parameter.key(), parameter.value().sizes(), values.amp, values.base));
  }
  const std::string path = folder / "weights.safetensors";
  const StatusOr<std::string> written = write_tensor_file(path, tensors);
  TITAN_CHECK(written.ok(), message_of(written.status()));
  return path;
}

double rms_difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return INFINITY;
  const double mean = (a.to(at::kDouble) - b.to(at::kDouble)).square().mean().item<double>();
  return std::isfinite(mean) ? std::sqrt(mean) : INFINITY;
}

}  // namespace titan::testing
