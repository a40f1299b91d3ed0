#include "titan/train/run_encoder.h"

#include <ATen/core/grad_mode.h>

#include <utility>

#include "titan/base/trace.h"
#include "titan/checkpoint/checkpoint_item.h"
#include "titan/checkpoint/recipe_reader.h"
#include "titan/train/batch_device.h"
#include "titan/train/run_weights.h"

namespace titan {
namespace {

/// `whole` lists the network's parameters, whoever holds them.
Status load(const EncoderPart& part, const std::vector<checkpoint::CheckpointItem>& items,
            const std::vector<TensorSpec>& whole) {
  return annotate(load_published_weights(part.weights, *part.network->weight_formats(), items,
                                         whole, /*verify=*/false),
                  str_cat("[encoder] ", part.name));
}

/// To be asked before an engine takes the parameters over.
std::vector<TensorSpec> parameters_of(const FrozenNetwork& network) {
  std::vector<TensorSpec> whole;
  for (const ModelUnit& unit : network.units())
    for (std::size_t i = 0; i < unit.parameters.size(); ++i)
      whole.push_back(
          {unit.parameter_names[i], TensorType::kF32, unit.parameters[i].sizes().vec()});
  return whole;
}

}  // namespace

/// The parameters as they are, one item each.
Status RunEncoder::fill(const EncoderPart& part) {
  std::vector<checkpoint::CheckpointItem> items;
  for (const ModelUnit& unit : part.network->units()) {
    for (std::size_t i = 0; i < unit.parameters.size(); ++i) {
      const at::Tensor& values = unit.parameters[i];
      parameter_bytes_ += static_cast<int64_t>(values.nbytes());
      items.push_back(checkpoint::whole_item("model", unit.parameter_names[i], values));
    }
  }
  return load(part, items, checkpoint::tensors_of(items));
}

/// Each rank holds a slice of every unit; the engine gathers units around their use.
Status RunEncoder::share(const EncoderPart& part, const parallel::EngineOptions& options,
                         parallel::Communicator ranks) {
  const std::vector<TensorSpec> whole = parameters_of(*part.network);
  auto engine = std::make_unique<parallel::ParallelEngine>(
      part.network->units(),
      // Nothing is ever reduced, but the engine wants the ranks that hold slices.
      parallel::MeshGroups{.gather = ranks, .reduce = ranks, .replicate = {}}, options);
  const std::vector<parallel::FlatUnit>& units = engine->parameters().units();
  TITAN_RETURN_IF_ERROR(load(part, checkpoint::weight_items("model", units), whole));
  engine->parameters().weights_changed();
  for (const parallel::FlatUnit& unit : units)
    parameter_bytes_ += static_cast<int64_t>(unit.master.nbytes());
  part.network->set_hooks(engine.get());
  engines_.push_back(std::move(engine));
  return ok_status();
}

Status RunEncoder::check(const EncoderPart& part) {
  return load(part, /*items=*/{}, parameters_of(*part.network));
}

StatusOr<std::unique_ptr<RunEncoder>> RunEncoder::open(const JobConfig& config,
                                                       const ModelSpec& spec,
                                                       const parallel::DeviceMesh& mesh,
                                                       const parallel::OpenGroup& open,
                                                       at::Device device) {
  const std::vector<int64_t> ranks = mesh.group("dp_shard");
  const bool shared = ranks.size() > 1;
  const at::ScalarType dtype = parallel::compute_dtype(config);
  TITAN_ASSIGN_OR_RETURN(
      const std::shared_ptr<BatchEncoder> encoder,
      spec.encoder(config, {.device = device, .dtype = dtype, .shared = shared}));
  if (!encoder) return std::unique_ptr<RunEncoder>();
  const at::NoGradGuard no_grad;
  std::unique_ptr<RunEncoder> run(new RunEncoder(encoder, device));
  parallel::EngineOptions options;
  options.parameters = {
      .compute_dtype = dtype,
      .shard = {.rank = mesh.coordinate("dp_shard"), .ranks = static_cast<int64_t>(ranks.size())},
      .resident = false,
      .device = device};
  for (const EncoderPart& part : encoder->parts()) {
    if (shared && part.shardable) {
      TITAN_RETURN_IF_ERROR(run->share(
          part, options, open(str_cat("encoder.", part.name, "/", ranks.front()), ranks)));
    } else {
      TITAN_RETURN_IF_ERROR(run->fill(part));
    }
    part.network->eval();
  }
  return run;
}

StatusOr<std::unique_ptr<RunEncoder>> RunEncoder::open_alone(const JobConfig& config,
                                                             const ModelSpec& spec,
                                                             at::Device device) {
  const parallel::DeviceMesh alone({}, 0);
  return open(config, spec, alone, {}, device);
}

void RunEncoder::encode(Batch& batch) const {
  const TraceSpan span("encode");
  move_to(batch, device_);
  encoder_->encode(batch);
}

void bring(Batch& batch, at::Device device, const RunEncoder* encoder) {
  if (encoder != nullptr) {
    encoder->encode(batch);
  } else {
    move_to(batch, device);
  }
}

}  // namespace titan
