// model_spec.h: the table of models. Registration is a call in main (or register_builtin_models),
// never a static initialiser.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/data/dataset.h"
#include "titan/protocols/batch_encoder.h"
#include "titan/protocols/block_runner.h"
#include "titan/protocols/data_shape.h"
#include "titan/protocols/model.h"
#include "titan/protocols/objective.h"
#include "titan/protocols/sampler.h"
#include "titan/protocols/weight_formats.h"

namespace titan {

namespace parallel {
class DeviceMesh;
}

/// Floating-point operations of one sample (performance.md section 0): one multiply-add is 2; no
/// recompute, no optimizer.
struct ModelFlops {
  int64_t forward = 0;  ///< one forward
  int64_t train = 0;    ///< 3 x forward
};

/// What pictures are conditioned on, [n, ...] each, and the same without: what guidance leads away
/// from.
struct SamplingCondition {
  Conditioning condition;       ///< what is asked for
  Conditioning null_condition;  ///< the same without
};

/// A row of the table of models: what a job needs of one. `name` and `build` must be set.
struct ModelSpec {
  std::string name;                  ///< model.name
  std::vector<std::string> flavors;  ///< that model.flavor may name

  /// Builds the model for config.model.flavor and [model.args]; float32 parameters are allocated on
  /// the device, not initialised. Training asks for the device meta (no memory): the parallel
  /// engine gives each rank's part of them memory.
  std::function<StatusOr<std::shared_ptr<Model>>(const JobConfig&, const DataShape&, at::Device)>
      build;
  /// FLOPs of one sample.
  std::function<StatusOr<ModelFlops>(const JobConfig&, const DataShape&)> flops;
  /// Objective; default: models/objectives by config.objective.name. The encoder is the job's, or
  /// null: an objective that trains without text may ask it for the empty prompt.
  std::function<StatusOr<std::unique_ptr<Objective>>(const JobConfig&, const DataShape&,
                                                     std::uint64_t seed, const BatchEncoder*)>
      objective;
  /// Sampler that inverts the objective.
  std::function<StatusOr<std::unique_ptr<Sampler>>(const JobConfig&)> sampler;
  /// Data set; default: open_dataset(config).
  std::function<StatusOr<std::unique_ptr<Dataset>>(const JobConfig&)> dataset;
  /// Condition for sampling `classes` (n ids) and its null twin; default: {"label": ids} and
  /// {"label": num_classes}.
  std::function<Conditioning(const std::vector<int64_t>& classes, const DataShape&)> condition;
  /// For models conditioned on encoded text: the condition for sampling prompts, from their fields
  /// [n, ...] as the data set or the encoder (null = none) names them. Empty: `condition` is used.
  std::function<StatusOr<SamplingCondition>(const NamedTensors& fields, const JobConfig&,
                                            const DataShape&, const BatchEncoder*)>
      encoded_condition;
  /// The frozen encoders that [encoder] names, their networks built but not filled; null where it
  /// names none. With them a run takes pictures and captions (BatchEncoder::encoded_shape).
  std::function<StatusOr<std::shared_ptr<BatchEncoder>>(const JobConfig&, const EncoderPlacement&)>
      encoder;
  /// Names under which weights of this model are published; default: the parameters' own alone.
  std::shared_ptr<const WeightFormats> weight_formats;
  /// Makes the runner for a mesh; default: plain data parallel (parallel/parallelize.h).
  std::function<StatusOr<std::unique_ptr<BlockRunner>>(
      std::shared_ptr<Model>, const parallel::DeviceMesh&, const JobConfig&, RunnerHooks*)>
      parallelize;
};

/// Adds a model; an error if the name is empty or taken, or `build` is missing.
Status register_model(ModelSpec spec);

/// The spec of that name; the error lists the known names. The pointer stays valid.
StatusOr<const ModelSpec*> find_model(const std::string& name);

/// Registered names, sorted.
std::vector<std::string> model_names();

/// Empties the table (tests).
void clear_models();

}  // namespace titan
