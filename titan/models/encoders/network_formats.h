// network_formats.h: WeightFormats of a network that is described by tables (network_table.h).
// Private to this folder. No torch.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "titan/models/encoders/network_table.h"
#include "titan/protocols/weight_formats.h"

namespace titan::models {

/// One network's part of the work.
class NetworkNames {
 public:
  virtual ~NetworkNames() = default;
  virtual std::vector<std::string> formats() const = 0;
  /// For messages: "a T5 encoder".
  virtual std::string network() const = 0;
  /// Whether a file of this network may hold the tensor although it is none of its own.
  virtual bool ignores(const std::string& name) const = 0;
  /// Another name of a tensor, "" where it has none; it counts where the name itself is not stored.
  virtual std::string alias_of(const std::string& /*name*/) const { return ""; }
  /// All tensors of the network whose counts (layers, levels) and sizes `stored`, of format `from`,
  /// tells, in the names of format `to`; in the same order for every `to`.
  virtual std::vector<TensorSpec> tensors(const std::vector<TensorSpec>& stored,
                                          const std::string& from, const std::string& to) const = 0;
  /// Its size in words.
  virtual std::string size(const std::vector<TensorSpec>& stored,
                           const std::string& format) const = 0;
};

std::shared_ptr<const WeightFormats> make_weight_formats(std::unique_ptr<NetworkNames> names);

}  // namespace titan::models
