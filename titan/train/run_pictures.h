// run_pictures.h: the picture grids that a run draws while it trains.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "titan/base/status.h"
#include "titan/protocols/block_runner.h"
#include "titan/train/sample_writer.h"

namespace titan {

class RunPictures {
 public:
  /// What [sampling] asks for, and with eval.save_img_folder pictures of the first captions that
  /// evaluation asks about (`evaluation`: its data, or null). `encoder`: null where the job has
  /// none; it and `spec` outlive this object.
  RunPictures(const TrainerContext& context, const ModelSpec& spec, const DataShape& shape,
              std::shared_ptr<const Dataset> training, std::shared_ptr<const Dataset> evaluation,
              const RunEncoder* encoder, std::uint64_t seed);

  /// Whether [sampling] asks for a grid after `step`.
  bool due(int64_t step) const;
  /// Whether every evaluation is followed by a grid.
  bool after_evaluation() const { return after_evaluation_ != nullptr; }

  /// All ranks call; the model is in evaluation mode. Rank 0 writes the PNG. `stop`: see
  /// draw_samples.
  Status draw(BlockRunner& runner, int64_t step, const std::function<bool()>& stop) const;
  Status draw_after_evaluation(BlockRunner& runner, int64_t step,
                               const std::function<bool()>& stop) const;

 private:
  TrainerContext context_;
  std::unique_ptr<SampleWriter> regular_;
  std::unique_ptr<SampleWriter> after_evaluation_;
};

}  // namespace titan
