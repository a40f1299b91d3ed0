#include "titan/tools/sample.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "titan/base/log.h"
#include "titan/checkpoint/recipe_reader.h"
#include "titan/memory/cpu_allocator.h"
#include "titan/models/builtin.h"
#include "titan/parallel/communicator.h"
#include "titan/parallel/cuda_library.h"
#include "titan/parallel/libtorch_log.h"
#include "titan/tools/sample_output.h"
#include "titan/tools/sample_request.h"
#include "titan/train/model_setup.h"
#include "titan/train/prompts.h"
#include "titan/train/run_weights.h"
#include "titan/train/sampling.h"

namespace titan {
namespace {

constexpr const char* kHelp =
    "titan sample RUN [options] [--section.key=value ...]\n"
    "Draws a grid of pictures from the newest weights of the run folder RUN.\n"
    "  --step N          those of another step\n"
    "  --weights PATH    weights from elsewhere, under any name that initial_load_path takes: "
    "safetensors\n"
    "                    (a file, an index, or a folder with one), another run or a checkpoint\n"
    "  --output FILE     the grid (RUN/samples/sample.png)\n"
    "  --pictures DIR    each picture as a PNG of its own, too\n"
    "  --check-shapes    score the pictures (shapes data set): colour and shape both right\n"
    "  --encodings FILE  prompts of a text model: t5_encodings [n, L, C] and clip_encodings [n, "
    "P]\n"
    "                    in a safetensors file; else those of the run's first samples\n"
    "  --latents FILE    latents of a text model, ready for the autoencoder's decoder\n"
    "                    (RUN/samples/sample.safetensors); the grid shows three of their channels\n"
    "Settings of the run can be overridden: --sampling.num_samples=64 --sampling.classes=3,5\n"
    "--sampling.guidance=1,4 --sampling.steps=50 --sampling.seed=1 --sampling.no-use_ema\n";

/// What to draw and what stands under each picture.
struct Subjects {
  SamplePlan plan;
  std::vector<std::string> labels;
};

StatusOr<EncodedPrompts> find_prompts(const SampleRequest& request, const ModelSpec& spec) {
  const int64_t count = request.config.sampling.num_samples;
  if (request.options.has("encodings"))
    return load_prompts(request.options.text("encodings", ""), count);
  const StatusOr<std::unique_ptr<Dataset>> dataset = spec.dataset(request.config);
  if (!dataset.ok()) {
    return annotate(dataset.status(),
                    "[sample] prompts come from the run's data set, or from --encodings FILE");
  }
  return read_prompts(**dataset, count, nullptr);
}

StatusOr<Subjects> find_subjects(const SampleRequest& request, const ModelSpec& spec,
                                 const DataShape& shape) {
  const JobConfig& config = request.config;
  Subjects subjects{.plan = {.guidance = config.sampling.guidance,
                             .steps = config.sampling.steps,
                             .seed = static_cast<std::uint64_t>(config.sampling.seed),
                             .chunk = config.training.batch_size},
                    .labels = {}};
  if (spec.encoded_condition) {
    TITAN_ASSIGN_OR_RETURN(EncodedPrompts prompts, find_prompts(request, spec));
    TITAN_ASSIGN_OR_RETURN(subjects.plan.encoded,
                           spec.encoded_condition(prompts.fields, config, shape, nullptr));
    subjects.labels = std::move(prompts.labels);
    return subjects;
  }
  subjects.plan.classes =
      classes_to_draw(config.sampling.classes, config.sampling.num_samples, shape.num_classes);
  for (const int64_t id : subjects.plan.classes)
    subjects.labels.push_back(label_of(request.info, id));
  return subjects;
}

/// The parameters as one item each, so that weights are loaded into them as into a run's.
std::vector<checkpoint::CheckpointItem> items_of(const std::string& prefix, const Model& model) {
  std::vector<checkpoint::CheckpointItem> items;
  for (const auto& parameter : model.named_parameters()) {
    const at::Tensor& values = parameter.value();
    items.push_back({.prefix = prefix,
                     .flat = values.detach().view({-1}),
                     .fragments = {{.name = parameter.key(),
                                    .shape = values.sizes().vec(),
                                    .global_offset = 0,
                                    .local_offset = 0,
                                    .length = values.numel()}}});
  }
  return items;
}

/// Fills the model; returns what from.
StatusOr<std::string> load_weights(const SampleRequest& request, const WeightFormats& formats,
                                   const Model& model) {
  const CheckpointSection& checkpoint = request.config.checkpoint;
  const bool averages = request.config.ema.enable && request.config.sampling.use_ema;
  TITAN_ASSIGN_OR_RETURN(const int64_t step, request.options.integer("step", -1, 0, INT64_MAX));
  std::string path = request.options.text("weights", "");
  if (path.empty()) {
    TITAN_ASSIGN_OR_RETURN(
        path, find_run_weights((request.run / checkpoint.folder).string(), step, averages));
  }
  const std::vector<checkpoint::CheckpointItem> items = items_of(averages ? "ema" : "model", model);
  TITAN_RETURN_IF_ERROR(load_published_weights(path, formats, items, checkpoint::tensors_of(items),
                                               /*verify=*/true));
  return path;
}

Status write_results(const SampleRequest& request, const Subjects& subjects,
                     const std::vector<at::Tensor>& drawn, const std::string& weights) {
  const Arguments& options = request.options;
  if (subjects.plan.encoded) {
    const std::string ours = (request.run / "samples/sample.safetensors").string();
    TITAN_RETURN_IF_ERROR(write_latents(options.text("latents", ours), drawn, request.config));
  }
  std::vector<SampleGroup> groups;
  for (std::size_t i = 0; i < drawn.size(); ++i)
    groups.push_back({guidance_heading(subjects.plan.guidance[i]), drawn[i]});
  const std::string output = options.text("output", (request.run / "samples/sample.png").string());
  TITAN_RETURN_IF_ERROR(write_sample_grid(output, groups, subjects.labels));
  std::printf("%s: %zu pictures from %s\n", output.c_str(), subjects.labels.size() * groups.size(),
              weights.c_str());
  for (const SampleGroup& group : groups) {
    if (options.has("pictures"))
      TITAN_RETURN_IF_ERROR(write_pictures(options.text("pictures", ""), group, subjects.labels));
    if (request.check_shapes)
      print_shape_score(group.pictures, subjects.plan.classes, request.info, group.heading);
  }
  return ok_status();
}

Status draw(const SampleRequest& request) {
  const JobConfig& config = request.config;
  TITAN_ASSIGN_OR_RETURN(const c10::Device device, parallel::choose_device(config.job.device, 0));
  const DataShape shape{.image = request.info.sample_shape,
                        .num_classes = request.info.num_classes,
                        .fields = request.info.sample_fields};
  TITAN_ASSIGN_OR_RETURN(const ModelSpec spec, complete_spec(config));
  TITAN_ASSIGN_OR_RETURN(const std::shared_ptr<Model> model, spec.build(config, shape, at::kCPU));
  TITAN_ASSIGN_OR_RETURN(const std::string weights,
                         load_weights(request, *spec.weight_formats, *model));
  model->to(device);
  model->eval();
  const auto runner = make_runner(model, nullptr);
  TITAN_ASSIGN_OR_RETURN(const Subjects subjects, find_subjects(request, spec, shape));
  parallel::Communicator alone;
  TITAN_ASSIGN_OR_RETURN(const std::vector<at::Tensor> drawn,
                         draw_samples(*runner, spec, config, shape, subjects.plan, device, alone));
  return write_results(request, subjects, drawn, weights);
}

}  // namespace

int sample_main(const std::vector<std::string>& args) {
  for (const std::string& arg : args) {
    if (arg != "--help" && arg != "-h") continue;
    std::fputs(kHelp, stdout);
    return 0;
  }
  parallel::quiet_libtorch();
  parallel::load_cuda_library();
  memory::install_cpu_allocator();
  Status status = models::register_builtin_models();
  if (status.ok()) {
    const StatusOr<SampleRequest> request = read_sample_request(args);
    status = request.ok() ? draw(*request) : request.status();
  }
  if (status.ok()) return 0;
  TITAN_LOG(ERROR) << message_of(status);
  return exit_code_for(status);
}

}  // namespace titan
