#include "titan/train/prompt_model.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/isfinite.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "titan/base/log.h"
#include "titan/checkpoint/checkpoint_item.h"
#include "titan/checkpoint/weight_source.h"
#include "titan/data/sample_parts.h"
#include "titan/models/converters/float8.h"
#include "titan/parallel/device_mesh.h"
#include "titan/parallel/engine.h"
#include "titan/parallel/parallelize.h"
#include "titan/parallel/process_group.h"
#include "titan/train/model_setup.h"
#include "titan/train/prompts.h"
#include "titan/train/resume_state.h"
#include "titan/train/run_encoder.h"
#include "titan/train/run_folder.h"
#include "titan/train/run_info.h"
#include "titan/train/run_weights.h"
#include "titan/train/sampling.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

bool holds_averages(const std::string& path) {
  if (fs::path(path).filename().string().rfind("weights-ema-", 0) == 0) return true;
  const auto source = checkpoint::WeightSource::open(path, "ema");
  return source.ok() && (*source)->is_checkpoint();
}

/// What the run trained on; without a run what the encoders make of pictures of the settings' size.
StatusOr<DataShape> shape_to_draw(const JobConfig& config, const BatchEncoder& encoder) {
  const RunFolder folder = RunFolder::view(config.job.dump_folder);
  if (fs::exists(folder.info_path())) {
    TITAN_ASSIGN_OR_RETURN(const RunInfo info, read_run_info(folder));
    return DataShape{
        .image = info.sample_shape, .num_classes = info.num_classes, .fields = info.sample_fields};
  }
  const ImageSides sides = image_sides(config);
  const std::vector<int64_t> image = {3, sides.height, sides.width};
  return encoder.encoded_shape({.image = image, .num_classes = 0, .fields = {{"image", image}}});
}

/// The job's encoders without memory: they say what they can.
StatusOr<std::shared_ptr<BatchEncoder>> check_encoders(const ModelSpec& spec,
                                                       const JobConfig& config) {
  TITAN_ASSIGN_OR_RETURN(std::shared_ptr<BatchEncoder> encoder,
                         spec.encoder(config, {.device = at::kMeta}));
  if (!encoder || !encoder->encodes_text())
    return invalid_argument(
        "[inference] prompts need the text encoders: set encoder.t5_encoder and "
        "encoder.clip_encoder (scripts/download.sh t5 DIR, scripts/download.sh clip DIR)");
  return encoder;
}

Status check_decodes(const BatchEncoder& encoder, const DataShape& shape) {
  constexpr int64_t kColours = 3;
  if (encoder.decodes() || (!shape.image.empty() && shape.image[0] == kColours)) return ok_status();
  return invalid_argument(
      "[inference] the model draws latents, which need a decoder: set encoder.autoencoder_path "
      "(scripts/download.sh autoencoder DIR) or encoder.decoder_path");
}

checkpoint::RankGroup rank_group(const JobContext& job) {
  checkpoint::RankGroup group{job.rank.rank};
  if (job.rank.world_size > 1) {
    group.exchange = [&control = job.ranks.control()](
                         const std::string& text) -> StatusOr<std::vector<std::string>> {
      return control.all_gather_text(text);
    };
  }
  return group;
}

class PromptModelOfRun : public PromptModel {
 public:
  explicit PromptModelOfRun(const JobContext& job) : job_(job), config_(job.config) {}

  Status set_up() {
    TITAN_ASSIGN_OR_RETURN(spec_, complete_spec(config_));
    TITAN_RETURN_IF_ERROR(check_converters(config_, job_.device));
    if (!spec_.encoded_condition)
      return invalid_argument("[inference] the model ", config_.model.name,
                              " takes no text; titan sample draws its classes");
    TITAN_ASSIGN_OR_RETURN(weights_, weights_to_draw(config_));
    TITAN_ASSIGN_OR_RETURN(const auto planned, check_encoders(spec_, config_));
    TITAN_ASSIGN_OR_RETURN(shape_, shape_to_draw(config_, *planned));
    TITAN_RETURN_IF_ERROR(check_decodes(*planned, shape_));
    TITAN_ASSIGN_OR_RETURN(settings_, picture_settings(config_, weights_.path, weights_.averages));
    TITAN_ASSIGN_OR_RETURN(
        const parallel::ParallelDims dims,
        parallel::resolve_parallel_dims(config_.parallelism, job_.rank.world_size));
    mesh_.emplace(dims, job_.rank.rank);
    return build();
  }

  const PictureSettings& settings() const override { return settings_; }
  StatusOr<std::vector<at::Tensor>> draw(int64_t first,
                                         const std::vector<std::string>& prompts) override;

 private:
  Status build();
  Status load();

  const JobContext& job_;
  const JobConfig& config_;
  ModelSpec spec_;
  WeightsToDraw weights_;
  DataShape shape_;
  PictureSettings settings_;
  std::optional<parallel::DeviceMesh> mesh_;
  std::unique_ptr<RunEncoder> encoder_;
  std::shared_ptr<Model> model_;
  std::unique_ptr<parallel::ParallelEngine> engine_;
  std::unique_ptr<BlockRunner> runner_;
};

Status PromptModelOfRun::build() {
  const at::NoGradGuard no_grad;
  const parallel::OpenGroup open = [&](const std::string& name, const std::vector<int64_t>& ranks) {
    return job_.ranks.open_group(name, ranks);
  };
  TITAN_ASSIGN_OR_RETURN(encoder_, RunEncoder::open(config_, spec_, *mesh_, open, job_.device));
  TITAN_ASSIGN_OR_RETURN(model_, spec_.build(config_, shape_, at::kMeta));
  for (at::Tensor& parameter : model_->parameters()) parameter.set_requires_grad(false);
  TITAN_ASSIGN_OR_RETURN(const parallel::EngineOptions options,
                         parallel::engine_options(config_, *mesh_, job_.device));
  models::keep_float8_weights(*model_, config_.training.compile && options.parameters.resident);
  engine_ = std::make_unique<parallel::ParallelEngine>(
      split_into_units(*model_), parallel::open_mesh_groups(*mesh_, open), options);
  TITAN_RETURN_IF_ERROR(place_buffers(*model_, job_.device));
  const auto& parallelize = spec_.parallelize ? spec_.parallelize : parallel::default_parallelize;
  TITAN_ASSIGN_OR_RETURN(runner_, parallelize(model_, *mesh_, config_, engine_.get()));
  model_->eval();
  return load();
}

Status PromptModelOfRun::load() {
  TITAN_ASSIGN_OR_RETURN(const std::vector<TensorSpec> whole,
                         whole_model(engine_->parameters(), rank_group(job_)));
  TITAN_RETURN_IF_ERROR(load_published_weights(
      weights_.path, *spec_.weight_formats,
      checkpoint::weight_items(weights_.averages ? "ema" : "model", engine_->parameters().units()),
      whole, /*verify=*/job_.rank.is_main()));
  engine_->parameters().weights_changed();
  return ok_status();
}

StatusOr<std::vector<at::Tensor>> PromptModelOfRun::draw(int64_t first,
                                                         const std::vector<std::string>& prompts) {
  const auto count = static_cast<int64_t>(prompts.size());
  const BatchEncoder& encoder = encoder_->encoder();
  TITAN_ASSIGN_OR_RETURN(const EncodedPrompts encoded, encode_prompts(prompts, count, &encoder));
  SamplePlan plan{.guidance = config_.sampling.guidance,
                  .steps = config_.sampling.steps,
                  .seed = static_cast<std::uint64_t>(config_.sampling.seed),
                  .chunk = count,
                  .first = first};
  TITAN_ASSIGN_OR_RETURN(plan.encoded,
                         spec_.encoded_condition(encoded.fields, config_, shape_, &encoder));
  parallel::Communicator alone;  // other ranks draw other prompts
  TITAN_ASSIGN_OR_RETURN(std::vector<at::Tensor> pictures,
                         draw_samples(*runner_, spec_, config_, shape_, plan, job_.device, alone));
  for (at::Tensor& drawn : pictures) {
    drawn = decode_samples(drawn, &encoder, count, job_.device);
    if (!at::isfinite(drawn).all().item<bool>())
      return data_loss("[inference] pictures ", first, " to ", first + count - 1,
                       " are not made of numbers: the weights (", weights_.path,
                       ") come from a run that has diverged, or do not fit the settings");
  }
  return pictures;
}

}  // namespace

StatusOr<WeightsToDraw> weights_to_draw(const JobConfig& config) {
  const RunFolder run = RunFolder::view(config.job.dump_folder);
  const std::string& elsewhere = config.checkpoint.initial_load_path;
  WeightsToDraw weights;
  if (!elsewhere.empty() && config.checkpoint.load_step < 0 && !fs::exists(run.info_path())) {
    weights.path = elsewhere;
  } else {
    const std::string folder = (run.path() / config.checkpoint.folder).string();
    StatusOr<std::string> found =
        find_run_weights(folder, config.checkpoint.load_step, config.sampling.use_ema);
    if (!found.ok())
      return annotate(found.status(),
                      "[inference] no weights to draw from (LOGDIR or --job.dump_folder names the "
                      "run, --checkpoint.load_step a step of it)");
    weights.path = std::move(*found);
  }
  weights.averages = config.sampling.use_ema && holds_averages(weights.path);
  return weights;
}

StatusOr<std::unique_ptr<PromptModel>> PromptModel::open(const JobContext& job) {
  auto model = std::make_unique<PromptModelOfRun>(job);
  TITAN_RETURN_IF_ERROR(model->set_up());
  return model;
}

}  // namespace titan
