// data_view.h: what a job's objective meets of a data set.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "titan/base/status.h"
#include "titan/data/dataset.h"
#include "titan/protocols/model_spec.h"

namespace titan {

/// Shape and classes of a data set: those of its first readable sample (of the first 100). An error
/// names the first problem; one that is not the sample's own (a server, a disk) is not passed by.
StatusOr<DataShape> shape_of(const Dataset& dataset, std::uint64_t seed);

/// The samples of a data set, or what the job's encoder makes of them.
struct DataView {
  DataShape shape;
  std::vector<FieldLayout> fields;  ///< of one sample
  /// The job's encoder on the device meta, null where it has none.
  std::shared_ptr<const BatchEncoder> encoder;
  bool encoded = false;  ///< whether it makes something of these samples
};
/// `spec` has its defaults filled in.
StatusOr<DataView> view_of(const Dataset& dataset, const JobConfig& config, const ModelSpec& spec);

}  // namespace titan
