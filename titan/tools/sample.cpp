#include "titan/tools/sample.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "titan/base/outcome.h"
#include "titan/checkpoint/recipe_reader.h"
#include "titan/memory/cpu_allocator.h"
#include "titan/models/builtin.h"
#include "titan/models/converters/float8.h"
#include "titan/parallel/communicator.h"
#include "titan/parallel/cuda_library.h"
#include "titan/parallel/libtorch_log.h"
#include "titan/tools/sample_output.h"
#include "titan/tools/sample_request.h"
#include "titan/tools/sample_subjects.h"
#include "titan/train/model_setup.h"
#include "titan/train/picture_settings.h"
#include "titan/train/run_encoder.h"
#include "titan/train/run_weights.h"
#include "titan/train/sampling.h"

namespace titan {
namespace {

constexpr const char* kSampleHelp =
    "titan sample RUN [options] [--section.key=value ...]\n"
    "Draws a grid of pictures from the newest weights of the run folder RUN.\n"
    "  --step N          those of another step\n"
    "  --weights PATH    weights from elsewhere, under any name that initial_load_path takes: "
    "safetensors\n"
    "                    (a file, an index, or a folder with one), another run or a checkpoint\n"
    "  --output FILE     the grid (RUN/samples/sample.png)\n"
    "  --pictures DIR    each picture as a PNG of its own, too\n"
    "  --prompt TEXT     what to draw, for models that take text; may come several times\n"
    "  --prompts FILE    the same, one prompt a line. Both need the run's encoders, or others:\n"
    "                    --encoder.t5_encoder=DIR --encoder.clip_encoder=DIR "
    "--encoder.autoencoder_path=FILE\n"
    "  --encodings FILE  prompts encoded already: t5_encodings [n, L, C] and clip_encodings [n, "
    "P]\n"
    "                    in a safetensors file. Without any, those of the run's first samples\n"
    "  --check-shapes    score the pictures (shapes data set): colour and shape as the class, or\n"
    "                    the words of the prompt, ask for\n"
    "  --latents FILE    latents of a text model, ready for the autoencoder's decoder\n"
    "                    (RUN/samples/sample.safetensors); without a decoder the grid shows three\n"
    "                    of their channels\n"
    "Settings of the run can be overridden: --sampling.num_samples=64 --sampling.classes=3,5\n"
    "--sampling.guidance=1,4 --sampling.steps=50 --sampling.seed=1 --sampling.no-use_ema\n";

/// The parameters as one item each, so that weights are loaded into them as into a run's.
std::vector<checkpoint::CheckpointItem> items_of(const std::string& prefix, const Model& model) {
  std::vector<checkpoint::CheckpointItem> items;
  for (const auto& parameter : model.named_parameters())
    items.push_back(checkpoint::whole_item(prefix, parameter.key(), parameter.value()));
  return items;
}

bool takes_averages(const JobConfig& config) {
  return config.ema.enable && config.sampling.use_ema;
}

/// Fills the model; returns what from.
StatusOr<std::string> load_weights(const SampleRequest& request, const WeightFormats& formats,
                                   const Model& model) {
  const CheckpointSection& checkpoint = request.config.checkpoint;
  const bool averages = takes_averages(request.config);
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
                     const std::vector<at::Tensor>& drawn, const std::vector<at::Tensor>& pictures,
                     const std::string& weights) {
  const Arguments& options = request.options;
  if (subjects.plan.encoded) {
    const std::string ours = (request.run / "samples/sample.safetensors").string();
    TITAN_RETURN_IF_ERROR(write_latents(options.text("latents", ours), drawn, request.config));
  }
  TITAN_ASSIGN_OR_RETURN(const PictureSettings settings,
                         picture_settings(request.config, weights, takes_averages(request.config)));
  std::vector<SampleGroup> groups;
  for (std::size_t i = 0; i < pictures.size(); ++i)
    groups.push_back({guidance_heading(subjects.plan.guidance[i]), pictures[i]});
  const std::string output = options.text("output", (request.run / "samples/sample.png").string());
  TITAN_RETURN_IF_ERROR(write_sample_grid(output, groups, subjects.labels, page_text(settings)));
  std::printf("%s: %zu pictures from %s\n", output.c_str(), subjects.labels.size() * groups.size(),
              weights.c_str());
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (options.has("pictures"))
      TITAN_RETURN_IF_ERROR(write_pictures(options.text("pictures", ""), groups[i],
                                           subjects.plan.guidance[i], subjects.labels, settings));
    if (request.check_shapes) print_shape_score(groups[i], subjects.wishes());
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
  TITAN_RETURN_IF_ERROR(check_converters(config, device));
  TITAN_ASSIGN_OR_RETURN(const std::shared_ptr<Model> model, spec.build(config, shape, at::kCPU));
  TITAN_ASSIGN_OR_RETURN(const std::string weights,
                         load_weights(request, *spec.weight_formats, *model));
  model->to(device);
  models::keep_float8_weights(*model, config.training.compile);
  model->eval();
  const auto runner = make_runner(model, nullptr);
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<RunEncoder> opened,
                         RunEncoder::open_alone(config, spec, device));
  const BatchEncoder* encoder = opened ? &opened->encoder() : nullptr;
  TITAN_ASSIGN_OR_RETURN(const Subjects subjects, find_subjects(request, spec, shape, encoder));
  parallel::Communicator alone;
  TITAN_ASSIGN_OR_RETURN(const std::vector<at::Tensor> drawn,
                         draw_samples(*runner, spec, config, shape, subjects.plan, device, alone));
  std::vector<at::Tensor> pictures;
  for (const at::Tensor& one : drawn)
    pictures.push_back(decode_samples(one, encoder, subjects.plan.chunk, device));
  return write_results(request, subjects, drawn, pictures, weights);
}

}  // namespace

int sample_main(const std::vector<std::string>& args) {
  for (const std::string& arg : args) {
    if (arg != "--help" && arg != "-h") continue;
    std::fputs(kSampleHelp, stdout);
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
  return exit_with(status);
}

}  // namespace titan
