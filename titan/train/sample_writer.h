// sample_writer.h: the sample grids of a run.
#pragma once

#include <cstdint>
#include <memory>

#include "titan/base/status.h"
#include "titan/protocols/model_spec.h"
#include "titan/train/trainer.h"

namespace titan {

/// Draws sampling.num_samples pictures for each guidance scale and writes samples/step-NNNNNN.png:
/// class or caption under each picture, scales side by side, real pictures of the same classes
/// beside them on wish.
class SampleWriter {
 public:
  SampleWriter(const TrainerContext& context, const ModelSpec& spec, const DataShape& shape,
               std::shared_ptr<const Dataset> dataset, std::uint64_t seed);

  /// All ranks call; rank 0 writes.
  Status write(BlockRunner& runner, int64_t step) const;

 private:
  TrainerContext context_;
  const ModelSpec& spec_;
  DataShape shape_;
  std::shared_ptr<const Dataset> dataset_;
  std::uint64_t seed_;
};

}  // namespace titan
