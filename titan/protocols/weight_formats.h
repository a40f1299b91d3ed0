// weight_formats.h: the names and shapes under which weights of a model are published, and how one
// becomes the other. No torch.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/safetensors.h"

namespace titan {

/// Rows [first, first + count) along the first axis of a stored tensor.
struct RowRange {
  std::string tensor;  ///< name of the stored tensor
  int64_t first = 0;   ///< first row
  int64_t count = 0;   ///< number of rows
};

/// A tensor put together from rows of stored tensors, end to end: fusing, splitting and reordering
/// along the first axis, so every part is one run of consecutive elements.
struct TensorRecipe {
  TensorSpec tensor;            ///< what is made
  std::vector<RowRange> parts;  ///< end to end
};

/// The names under which weights of a model are published.
class WeightFormats {
 public:
  virtual ~WeightFormats() = default;

  /// Names of the formats; the first is that of the model's own parameters.
  virtual std::vector<std::string> names() const = 0;
  /// The format whose names these are, "" where it is none.
  virtual std::string detect(const std::vector<TensorSpec>& stored) const = 0;
  /// Which size of the model these tensors are, in words ("19 double blocks, ...").
  virtual std::string describe(const std::vector<TensorSpec>& stored,
                               const std::string& format) const = 0;
  /// How all tensors of format `to` are made from `stored`, which is of format `from`. Tensors that
  /// are missing, left over, of another shape or not floating-point are all named in one
  /// kFailedPrecondition, with the nearest name that is there.
  virtual StatusOr<std::vector<TensorRecipe>> recipes(const std::vector<TensorSpec>& stored,
                                                      const std::string& from,
                                                      const std::string& to) const = 0;
  /// Small files that programs expect beside weights of format `to`: text by name.
  virtual std::map<std::string, std::string> companions(const std::vector<TensorSpec>& /*stored*/,
                                                        const std::string& /*from*/,
                                                        const std::string& /*to*/) const {
    return {};
  }
};

/// The formats of a model that publishes none: tensors keep their names ("own").
std::shared_ptr<const WeightFormats> own_names_only();

}  // namespace titan
