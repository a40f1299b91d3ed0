#include "titan/plan/step_walk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/record_function.h>

#include "titan/models/converters/float8.h"
#include "titan/ops/planned_device.h"
#include "titan/parallel/device_mesh.h"
#include "titan/parallel/engine.h"
#include "titan/parallel/parallelize.h"
#include "titan/plan/aten_shapes.h"
#include "titan/plan/meta_memory.h"

namespace titan::plan {
namespace {

/// The engine in numbers behind the runner's hooks.
class WalkHooks : public RunnerHooks {
 public:
  explicit WalkHooks(EngineWalk& walk) : walk_(walk) {}
  void begin_pass(bool with_backward) override { walk_.begin_pass(with_backward); }
  void before_forward(std::size_t unit) override { walk_.before_forward(unit); }
  void after_forward(std::size_t unit) override { walk_.after_forward(unit); }
  void before_backward(std::size_t unit) override { walk_.before_backward(unit); }
  void gradients_ready(std::size_t unit, const std::vector<at::Tensor>&) override {
    walk_.gradients_ready(unit);
  }

 private:
  EngineWalk& walk_;
};

thread_local int64_t float8_flops = 0;

/// Counts products in 8 bits on this thread while it lives (metrics::FlopCounter counts all).
class Float8Count {
 public:
  Float8Count() {
    float8_flops = 0;
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(count).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  }
  ~Float8Count() { at::removeCallback(handle_); }
  Float8Count(const Float8Count&) = delete;
  Float8Count& operator=(const Float8Count&) = delete;

 private:
  // titan::float8_product(a, a_inverse, b, b_inverse, bias, out_dtype, emulate, fast_sums): a b^T.
  static std::unique_ptr<at::ObserverContext> count(const at::RecordFunction& function) {
    if (std::strcmp(function.name(), "titan::float8_product") != 0) return nullptr;
    const auto in = function.inputs();
    if (!in[6].toBool()) float8_flops += 2 * in[0].toTensor().numel() * in[2].toTensor().size(0);
    return nullptr;
  }
  at::CallbackHandle handle_ = 0;
};

}  // namespace

StatusOr<ShapeModel> ShapeModel::build(const JobConfig& config, const ModelSpec& spec,
                                       DataView data) {
  complete_aten_shapes();
  ShapeModel result;
  result.spec_ = &spec;
  result.fields_ = std::move(data.fields);
  result.encoder_ = std::move(data.encoder);
  result.compute_dtype_ = parallel::compute_dtype(config);
  TITAN_ASSIGN_OR_RETURN(result.model_, spec.build(config, data.shape, at::kMeta));
  TITAN_ASSIGN_OR_RETURN(result.objective_,
                         spec.objective(config, data.shape, /*seed=*/0, result.encoder_.get()));
  for (const ModelUnit& unit : split_into_units(*result.model_)) {
    std::vector<parallel::ParameterShape> shapes;
    for (std::size_t i = 0; i < unit.parameters.size(); ++i)
      shapes.push_back({.name = unit.parameter_names[i],
                        .shape = unit.parameters[i].sizes().vec(),
                        .trainable = unit.parameters[i].requires_grad()});
    result.units_.push_back(std::move(shapes));
    result.unit_names_.push_back(unit.name);
  }
  result.model_->to(result.compute_dtype_);
  result.model_->train();
  return result;
}

std::vector<parallel::UnitLayout> ShapeModel::layouts(int64_t shard_ranks) const {
  std::vector<parallel::UnitLayout> layouts;
  for (std::size_t u = 0; u < units_.size(); ++u)
    layouts.push_back(parallel::lay_out_unit(unit_names_[u], units_[u], shard_ranks));
  return layouts;
}

int64_t ShapeModel::num_parameters() const {
  int64_t count = 0;
  for (const auto& unit : units_)
    for (const parallel::ParameterShape& parameter : unit) count += parameter.numel();
  return count;
}

int64_t ShapeModel::encoder_bytes(int64_t shard_ranks) const {
  if (!encoder_) return 0;
  const auto size = static_cast<int64_t>(c10::elementSize(compute_dtype_));
  int64_t bytes = 0;
  for (const EncoderPart& part : encoder_->parts()) {
    int64_t elements = 0;
    int64_t largest = 0;
    for (const ModelUnit& unit : part.network->units()) {
      int64_t of_unit = 0;
      for (const at::Tensor& parameter : unit.parameters) of_unit += parameter.numel();
      elements += of_unit;
      largest = std::max(largest, of_unit);
    }
    // A shared one: a float32 slice, and two gathered units at a time.
    const bool shared = shard_ranks > 1 && part.shardable;
    bytes += shared ? elements / shard_ranks * 4 + 2 * largest * size : elements * size;
  }
  return bytes;
}

int64_t ShapeModel::batch_bytes(int64_t samples) const {
  int64_t bytes = 2 * static_cast<int64_t>(sizeof(int64_t));  // sample, epoch
  for (const FieldLayout& field : fields_) bytes += static_cast<int64_t>(field.size_bytes());
  return bytes * samples;
}

Batch ShapeModel::batch(int64_t samples) const {
  const auto meta = at::TensorOptions().device(at::kMeta);
  Batch batch;
  for (const FieldLayout& field : fields_) {
    std::vector<int64_t> sizes{samples};
    sizes.insert(sizes.end(), field.sizes.begin(), field.sizes.end());
    batch.fields.set(field.name, at::empty(sizes, meta.dtype(field.type)));
  }
  batch.sample = at::empty({samples}, meta.dtype(at::kLong));
  batch.epoch = at::empty({samples}, meta.dtype(at::kLong));
  return batch;
}

StatusOr<StepBytes> walk_step(const ShapeModel& model, const JobConfig& config,
                              const std::vector<parallel::UnitLayout>& units,
                              const EngineShape& shape, int64_t micro_batch,
                              c10::DeviceType device) {
  const ops::PlannedDeviceScope planned(device);
  LiveBytes live;
  // Micro-batches in the middle are alike.
  EngineShape walked = shape;
  walked.accumulation = std::min<int64_t>(shape.accumulation, 3);
  EngineWalk engine(units, walked, live);
  WalkHooks hooks(engine);
  const auto& parallelize =
      model.spec().parallelize ? model.spec().parallelize : parallel::default_parallelize;
  TITAN_ASSIGN_OR_RETURN(
      const std::unique_ptr<BlockRunner> runner,
      parallelize(model.model_ptr(), parallel::DeviceMesh({}, 0), config, &hooks));
  const MetaMemory count(live);
  models::keep_float8_weights(model.model(), config.training.compile && shape.resident);
  const Float8Count float8;
  engine.begin_step();
  for (int64_t i = 0; i < walked.accumulation; ++i) {
    engine.begin_micro_batch(i);
    const Batch batch = model.batch(micro_batch);
    const TrainingExample example = model.objective().prepare(batch);
    runner->forward_backward(example.x_t, example.t, example.condition,
                             [&](const at::Tensor& prediction) {
                               return model.objective().loss(prediction, example).sum() / 1.0;
                             });
  }
  engine.finish();
  models::keep_float8_weights(model.model(), false);  // gives back what this walk kept
  return StepBytes{.activations = live.peak,
                   .gather_slots = engine.gather_slot_bytes(),
                   .message_slots = engine.message_slot_bytes(),
                   .gathered = engine.gathered_bytes(),
                   .reduced = engine.reduced_bytes(),
                   .float8_flops = float8_flops,
                   .micro_batches = walked.accumulation};
}

}  // namespace titan::plan
