// step_walk.h: what one training step of a model holds in memory, found by running it on the device
// meta: the real objective, the real runner (recompute included), the real backward, on shapes.
#pragma once

#include <memory>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/parallel/unit_layout.h"
#include "titan/plan/data_view.h"
#include "titan/plan/engine_walk.h"
#include "titan/protocols/model_spec.h"

namespace titan::plan {

/// A job's model and samples on the device meta, built once for many walks.
class ShapeModel {
 public:
  /// `spec` has its defaults filled in.
  static StatusOr<ShapeModel> build(const JobConfig& config, const ModelSpec& spec, DataView data);

  /// Parameters of each unit, in order: embed, blocks, head.
  const std::vector<std::vector<parallel::ParameterShape>>& units() const { return units_; }
  /// The units in flat buffers for so many shard ranks.
  std::vector<parallel::UnitLayout> layouts(int64_t shard_ranks) const;
  int64_t num_parameters() const;
  /// Memory of the frozen encoders on one of `shard_ranks` ranks that share them.
  int64_t encoder_bytes(int64_t shard_ranks) const;
  /// Of one training batch, in bytes.
  int64_t batch_bytes(int64_t samples) const;

  Model& model() const { return *model_; }
  const std::shared_ptr<Model>& model_ptr() const { return model_; }
  const Objective& objective() const { return *objective_; }
  const ModelSpec& spec() const { return *spec_; }
  Batch batch(int64_t samples) const;

 private:
  const ModelSpec* spec_ = nullptr;
  std::shared_ptr<Model> model_;
  std::shared_ptr<const BatchEncoder> encoder_;  ///< null where samples come encoded
  at::ScalarType compute_dtype_ = at::kFloat;
  std::unique_ptr<Objective> objective_;
  std::vector<FieldLayout> fields_;
  std::vector<std::string> unit_names_;
  std::vector<std::vector<parallel::ParameterShape>> units_;
};

struct StepBytes {
  int64_t activations = 0;    ///< largest sum of batch, activations and gradients in the making
  int64_t gather_slots = 0;   ///< memory of gathered units
  int64_t message_slots = 0;  ///< memory of gradients on their way
  int64_t gathered = 0;       ///< bytes of whole units gathered in a step, sum over units
  int64_t reduced = 0;        ///< bytes of gradients reduced in a step
  int64_t float8_flops = 0;   ///< of products in 8 bits, emulated ones aside, in what was walked
  int64_t micro_batches = 0;  ///< walked: three stand for all that are more
};

/// Walks a step of `config` (its activation_checkpoint) with `micro_batch` samples at a time on the
/// kernels of `device`. `units` as of layouts(shape.shard_ranks). Throws titan::Error where the
/// model cannot run on shapes.
StatusOr<StepBytes> walk_step(const ShapeModel& model, const JobConfig& config,
                              const std::vector<parallel::UnitLayout>& units,
                              const EngineShape& shape, int64_t micro_batch,
                              c10::DeviceType device);

}  // namespace titan::plan
