#include "titan/tools/sample.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "titan/base/log.h"
#include "titan/checkpoint/weights.h"
#include "titan/config/loader.h"
#include "titan/data/tensor_file.h"
#include "titan/io/image_write.h"
#include "titan/memory/cpu_allocator.h"
#include "titan/models/builtin.h"
#include "titan/models/flux/objective.h"
#include "titan/parallel/communicator.h"
#include "titan/parallel/cuda_library.h"
#include "titan/parallel/libtorch_log.h"
#include "titan/tools/arguments.h"
#include "titan/tools/shape_checker.h"
#include "titan/train/model_setup.h"
#include "titan/train/prompts.h"
#include "titan/train/run_folder.h"
#include "titan/train/run_info.h"
#include "titan/train/sampling.h"

namespace titan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHelp =
    "titan sample RUN [options] [--section.key=value ...]\n"
    "Draws a grid of pictures from the newest checkpoint of the run folder RUN.\n"
    "  --step N          another checkpoint\n"
    "  --weights FILE    weights from a safetensors file instead\n"
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

struct Request {
  Arguments options;
  JobConfig config;
  RunInfo info;
  fs::path run;
  bool check_shapes = false;
};

/// Splits `--section.key...` (settings, which keep their values) from the verb's own options.
struct SplitArguments {
  std::vector<std::string> own;
  std::vector<std::string> settings;
};
SplitArguments split(const std::vector<std::string>& args) {
  SplitArguments out;
  for (const std::string& arg : args) {
    const std::string name = arg.substr(0, arg.find('='));
    const bool is_setting = name.rfind("--", 0) == 0 && name.find('.') != std::string::npos;
    (is_setting ? out.settings : out.own).push_back(arg);
  }
  return out;
}

StatusOr<Request> read_request(const std::vector<std::string>& args) {
  SplitArguments parts = split(args);
  const bool check = std::erase(parts.own, "--check-shapes") > 0;
  TITAN_ASSIGN_OR_RETURN(Arguments options,
                         Arguments::parse(parts.own, {"step", "weights", "output", "pictures",
                                                      "encodings", "latents"}));
  if (options.words().size() != 1)
    return invalid_argument("[sample] one run folder is needed; titan sample --help");
  Request request{
      .options = std::move(options), .config = {}, .info = {}, .run = {}, .check_shapes = check};
  request.run = request.options.words().front();
  const RunFolder folder = RunFolder::view(request.run);
  parts.settings.insert(parts.settings.begin(), "--config=" + folder.config_path().string());
  TITAN_ASSIGN_OR_RETURN(LoadedConfig loaded, load_config(parts.settings));
  request.config = std::move(loaded.config);
  TITAN_ASSIGN_OR_RETURN(request.info, read_run_info(folder));
  return request;
}

/// Fills the model's parameters by name; every one must be there in its shape.
Status load_weights(Model& model, const std::string& path, bool averaged) {
  TITAN_ASSIGN_OR_RETURN(const checkpoint::NamedWeights weights,
                         checkpoint::read_weights(path, averaged ? "ema" : "model"));
  const at::NoGradGuard no_grad;
  auto parameters = model.named_parameters();
  for (auto& item : parameters) {
    const auto found = std::find_if(weights.begin(), weights.end(),
                                    [&](const auto& entry) { return entry.first == item.key(); });
    if (found == weights.end())
      return data_loss("[sample] ", path, " holds no \"", item.key(), "\"");
    if (found->second.sizes() != item.value().sizes()) {
      return data_loss("[sample] \"", item.key(), "\" has shape ", found->second.sizes(), " in ",
                       path, ", the model wants ", item.value().sizes());
    }
    item.value().copy_(found->second);
  }
  return ok_status();
}

std::string weights_path(const Request& request, int64_t step) {
  if (request.options.has("weights")) return request.options.text("weights", "");
  const fs::path folder = request.run / request.config.checkpoint.folder;
  if (step < 0) return folder.string();
  char name[32];
  std::snprintf(name, sizeof name, "step-%06lld", static_cast<long long>(step));
  return (folder / name).string();
}

std::string label_of(const RunInfo& info, int64_t id) {
  const auto index = static_cast<std::size_t>(id);
  return index < info.class_names.size() ? info.class_names[index] : str_cat("class ", id);
}

/// Share of pictures that show the asked colour and shape.
void score_shapes(const at::Tensor& pictures, const std::vector<int64_t>& classes,
                  const RunInfo& info, const std::string& heading) {
  int64_t right = 0;
  for (int64_t k = 0; k < pictures.size(0); ++k) {
    const int64_t wanted = classes[static_cast<std::size_t>(k)];
    const ShapeGuess guess = classify_shape(to_image(pictures[k]));
    if (guess.shows(static_cast<int>(wanted))) {
      ++right;
    } else {
      std::printf("  picture %lld: wanted %s, shows %s\n", static_cast<long long>(k),
                  label_of(info, wanted).c_str(), guess.name().c_str());
    }
  }
  std::printf("%s: %lld of %lld right (%.3f)\n", heading.c_str(), static_cast<long long>(right),
              static_cast<long long>(pictures.size(0)),
              static_cast<double>(right) / static_cast<double>(pictures.size(0)));
}

Status write_pictures(const fs::path& folder, const SampleGroup& group,
                      const std::vector<std::string>& labels) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    return invalid_argument("[sample] cannot make ", folder.string(), ": ", error.message());
  for (int64_t k = 0; k < group.pictures.size(0); ++k) {
    std::string name =
        str_cat(labels[static_cast<std::size_t>(k)], "-", group.heading, "-", k, ".png");
    std::replace(name.begin(), name.end(), ' ', '_');
    std::replace(name.begin(), name.end(), '/', '_');
    TITAN_RETURN_IF_ERROR(write_png((folder / name).string(), to_image(group.pictures[k])));
  }
  return ok_status();
}

/// What to draw and what stands under each picture.
struct Subjects {
  SamplePlan plan;
  std::vector<std::string> labels;
};

StatusOr<EncodedPrompts> find_prompts(const Request& request, const ModelSpec& spec) {
  const int64_t count = request.config.sampling.num_samples;
  if (request.options.has("encodings"))
    return load_prompts(request.options.text("encodings", ""), count);
  const StatusOr<std::unique_ptr<Dataset>> dataset = spec.dataset(request.config);
  if (!dataset.ok()) {
    return annotate(dataset.status(),
                    "[sample] prompts come from the run's data set, or from --encodings FILE");
  }
  return read_prompts(**dataset, count);
}

StatusOr<Subjects> find_subjects(const Request& request, const ModelSpec& spec,
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
                           spec.encoded_condition(prompts.fields, config, shape));
    subjects.labels = std::move(prompts.labels);
    return subjects;
  }
  subjects.plan.classes =
      classes_to_draw(config.sampling.classes, config.sampling.num_samples, shape.num_classes);
  for (const int64_t id : subjects.plan.classes)
    subjects.labels.push_back(label_of(request.info, id));
  return subjects;
}

/// One tensor [n, C, H, W] for each guidance scale, as the decoder takes them.
Status write_latents(const Request& request, const std::vector<at::Tensor>& drawn) {
  const EncoderSection& encoder = request.config.encoder;
  const std::string path =
      request.options.text("latents", (request.run / "samples/sample.safetensors").string());
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    std::string name = "latents";
    if (drawn.size() > 1) name += str_cat(".guidance_", request.config.sampling.guidance[i]);
    tensors.emplace_back(name,
                         models::unscale_latents(drawn[i], {.shift = encoder.autoencoder_shift,
                                                            .scale = encoder.autoencoder_scale}));
  }
  std::error_code ignored;  // write_tensor_file reports what is wrong
  fs::create_directories(fs::path(path).parent_path(), ignored);
  TITAN_RETURN_IF_ERROR(write_tensor_file(path, tensors).status());
  std::printf("%s: latents\n", path.c_str());
  return ok_status();
}

Status draw(const Request& request) {
  const JobConfig& config = request.config;
  TITAN_ASSIGN_OR_RETURN(const c10::Device device, parallel::choose_device(config.job.device, 0));
  TITAN_ASSIGN_OR_RETURN(const int64_t step, request.options.integer("step", -1, 0, INT64_MAX));
  const DataShape shape{.image = request.info.sample_shape,
                        .num_classes = request.info.num_classes,
                        .fields = request.info.sample_fields};
  TITAN_ASSIGN_OR_RETURN(const ModelSpec spec, complete_spec(config));
  TITAN_ASSIGN_OR_RETURN(const std::shared_ptr<Model> model, spec.build(config, shape, at::kCPU));
  const std::string weights = weights_path(request, step);
  TITAN_RETURN_IF_ERROR(
      load_weights(*model, weights, config.ema.enable && config.sampling.use_ema));
  model->to(device);
  model->eval();
  const auto runner = make_runner(model, nullptr);

  TITAN_ASSIGN_OR_RETURN(const Subjects subjects, find_subjects(request, spec, shape));
  const std::vector<std::string>& labels = subjects.labels;
  parallel::Communicator alone;
  TITAN_ASSIGN_OR_RETURN(const std::vector<at::Tensor> drawn,
                         draw_samples(*runner, spec, config, shape, subjects.plan, device, alone));
  if (subjects.plan.encoded) TITAN_RETURN_IF_ERROR(write_latents(request, drawn));
  std::vector<SampleGroup> groups;
  for (std::size_t i = 0; i < drawn.size(); ++i)
    groups.push_back({guidance_heading(config.sampling.guidance[i]), drawn[i]});
  const std::string output =
      request.options.text("output", (request.run / "samples/sample.png").string());
  TITAN_RETURN_IF_ERROR(write_sample_grid(output, groups, labels));
  std::printf("%s: %zu pictures from %s\n", output.c_str(), labels.size() * groups.size(),
              weights.c_str());
  for (const SampleGroup& group : groups) {
    if (request.options.has("pictures"))
      TITAN_RETURN_IF_ERROR(write_pictures(request.options.text("pictures", ""), group, labels));
    if (request.check_shapes)
      score_shapes(group.pictures, subjects.plan.classes, request.info, group.heading);
  }
  return ok_status();
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
    const StatusOr<Request> request = read_request(args);
    status = request.ok() ? draw(*request) : request.status();
  }
  if (status.ok()) return 0;
  TITAN_LOG(ERROR) << message_of(status);
  return exit_code_for(status);
}

}  // namespace titan
