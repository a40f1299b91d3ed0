// encoder_testing.h: cases of frozen networks, and networks with weights that went through a file.
// Include tests/support/catch.h first.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <torch/types.h>

#include "titan/checkpoint/checkpoint_item.h"
#include "titan/protocols/frozen_network.h"

#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace titan::testing {

/// Reference outputs of a network, X_outputs.json beside X_outputs.safetensors.
struct EncoderCase {
  GoldenCase golden;
  std::filesystem::path folder;  ///< that holds the case
  std::string stem;              ///< X

  /// P of all tensors "P.<field>": the runs that the case records.
  std::set<std::string> runs_with(const std::string& field) const;
  /// The network's folder, as the case names it.
  std::string model_folder() const;
};

/// Paths of all cases in encoders/`folder`, sorted.
std::vector<std::filesystem::path> encoder_cases(const std::string& folder);
EncoderCase load_encoder_case(const std::filesystem::path& path_without_extension);

/// The parameters as one checkpoint item each, so that weights are loaded into them as into a
/// run's.
std::vector<checkpoint::CheckpointItem> items_of(const FrozenNetwork& network);

/// Loads weights from a file or folder, found out by the network's own formats.
Status load_network(const FrozenNetwork& network, const std::string& path);

/// Amplitude and base of a parameter's deterministic values.
struct Spread {
  double amp = 1, base = 0;
};
using SpreadOf = std::function<Spread(const std::string& name)>;
/// A safetensors file with every parameter of `network` filled.
std::string write_filled(const TemporaryFolder& folder, const FrozenNetwork& network,
                         const SpreadOf& spread);

/// sqrt(mean((a - b)^2)) in double; infinite for other shapes or non-finite values.
double rms_difference(const at::Tensor& a, const at::Tensor& b);

}  // namespace titan::testing
