// autoencoder_table.h: every tensor of an autoencoder of any depth. Private to this folder. No
// torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/models/encoders/network_table.h"

namespace titan::models {

/// How many levels and residual blocks stored tensors have, read off their names.
struct AutoencoderLayout {
  int64_t levels = 0;
  int64_t blocks = 0;
};
AutoencoderLayout autoencoder_layout_of(const std::vector<TensorSpec>& stored,
                                        const std::string& format);

/// Symbol of a level's width: "w2".
std::string width_symbol(int64_t level);

/// Values of the symbols: in, out, z (channels), ch, and each level's width.
NetworkSizes autoencoder_sizes_of(const std::vector<TensorSpec>& stored, const std::string& format,
                                  const AutoencoderLayout& layout);

/// All tensors in the names of `format`, "bfl" or "diffusers", in the same order for both. A
/// residual block has a shortcut where its width changes.
std::vector<SymbolicTensor> autoencoder_table(const AutoencoderLayout& layout,
                                              const NetworkSizes& sizes, const std::string& format);

}  // namespace titan::models
