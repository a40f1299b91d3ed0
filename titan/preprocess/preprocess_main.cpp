#include "titan/preprocess/preprocess_main.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <filesystem>

#include "titan/base/argument_vector.h"
#include "titan/base/log.h"
#include "titan/data/one_pass_loader.h"
#include "titan/data/sample_parts.h"
#include "titan/parallel/device_mesh.h"
#include "titan/parallel/parallel_dims.h"
#include "titan/parallel/process_group.h"
#include "titan/plan/data_view.h"
#include "titan/preprocess/empty_encodings_writer.h"
#include "titan/preprocess/preprocess.h"
#include "titan/train/model_setup.h"
#include "titan/train/run_encoder.h"
#include "titan/train/signals.h"

namespace titan::preprocess {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMega = 1'000'000;
/// All the images' own draws (crop) come from this seed where none is set: the job repeats itself.
constexpr int64_t kDefaultSeed = 0;

std::string empty_encodings_folder(const JobConfig& config) {
  if (config.preprocessing.empty_encodings_path) return *config.preprocessing.empty_encodings_path;
  const JobPaths paths(config.preprocessing.output_dataset_path);
  return (paths.output().parent_path() / "empty_encodings").string();
}

StatusOr<EncodedShapes> shapes_of(const DataView& view) {
  if (!view.encoder || !view.encoder->encodes_images() || !view.encoder->encodes_text())
    return invalid_argument(
        "[preprocess] needs an autoencoder and both text encoders: set encoder.autoencoder_path, "
        "encoder.t5_encoder and encoder.clip_encoder (scripts/download.sh lists what gets them)");
  EncodedShapes shapes;
  for (std::size_t field = 0; field < kNumEncodedFields; ++field) {
    const auto found = view.shape.fields.find(kEncodedFields[field]);
    if (found == view.shape.fields.end())
      return invalid_argument("[preprocess] these encoders give no '", kEncodedFields[field], "'");
    shapes[field] = found->second;
  }
  return shapes;
}

PreprocessOptions options_of(const JobConfig& config, bool encode_together) {
  PreprocessOptions options;
  options.output = config.preprocessing.output_dataset_path;
  options.format = config.preprocessing.format;
  options.file_bytes = config.preprocessing.file_mb * kMega;
  options.batch_size = std::max<int64_t>(1, config.training.batch_size);
  options.num_samples = config.training.subset_size.value_or(0);
  options.seed = static_cast<std::uint64_t>(config.training.seed.value_or(kDefaultSeed));
  options.num_workers = config.dataset.num_workers;
  options.prefetch_batches = config.dataset.prefetch_batches;
  options.encode_together = encode_together;
  const ImageSides sides = image_sides(config);
  options.image_shape = {3, sides.height, sides.width};
  return options;
}

/// Every rank calls: encoders that ranks share need all of them.
Status write_empty(const RunEncoder& encoder, const JobContext& job, const EncodedShapes& shapes) {
  const c10::AutoGradMode no_grad(false);
  const NamedTensors fields = encoder.encoder().encode_text({""});
  if (!job.rank.is_main()) return ok_status();
  for (const std::size_t field : {std::size_t{0}, std::size_t{1}})
    TITAN_CHECK(
        fields.get(kEncodedFields[field]).sizes().slice(1) == at::IntArrayRef(shapes[field]),
        "[preprocess] the empty prompt has other sizes of '", kEncodedFields[field], "'");
  return write_empty_encodings(empty_encodings_folder(job.config), fields);
}

StatusOr<JobOutcome> run(const JobContext& job) {
  const JobConfig& config = job.config;
  TITAN_ASSIGN_OR_RETURN(const ModelSpec spec, complete_spec(config));
  TITAN_ASSIGN_OR_RETURN(const parallel::ParallelDims dims,
                         parallel::resolve_parallel_dims(config.parallelism, job.rank.world_size));
  const parallel::DeviceMesh mesh(dims, job.rank.rank);
  TITAN_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> opened, spec.dataset(config));
  const std::shared_ptr<const Dataset> dataset = std::move(opened);
  TITAN_ASSIGN_OR_RETURN(const DataView view, view_of(*dataset, config, spec));
  TITAN_ASSIGN_OR_RETURN(const EncodedShapes shapes, shapes_of(view));
  const PreprocessOptions options = options_of(config, dims.dp_shard > 1);
  const int64_t num_samples = samples_to_read(*dataset, options.num_samples);
  TITAN_LOG(INFO) << "[preprocess] " << config.training.dataset << ": " << num_samples
                  << " samples to " << options.output << " (" << options.format << "), on "
                  << job.device << ", " << job.rank.world_size << " ranks, batches of "
                  << options.batch_size;
  JobDescription description;
  if (job.rank.is_main()) {
    TITAN_ASSIGN_OR_RETURN(description,
                           describe_job(config, dataset->fingerprint(), num_samples, shapes));
  }
  TITAN_ASSIGN_OR_RETURN(
      const std::unique_ptr<PreprocessJob> work,
      PreprocessJob::open(options, dataset, shapes, description, job.ranks.control()));
  if (work->finished()) {
    TITAN_LOG(INFO) << "[preprocess] " << options.output
                    << " is finished already; another --preprocessing.output_dataset_path starts "
                       "anew";
    return JobOutcome::kDone;
  }
  const parallel::OpenGroup open = [&](const std::string& name, const std::vector<int64_t>& ranks) {
    return job.ranks.open_group(name, ranks);
  };
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<RunEncoder> encoder,
                         RunEncoder::open(config, spec, mesh, open, job.device));
  TITAN_RETURN_IF_ERROR(write_empty(*encoder, job, shapes));
  return work->run([&](Batch& batch) { encoder->encode(batch); }, requested_signal);
}

}  // namespace

StatusOr<JobDescription> describe_job(const JobConfig& config, const std::string& data_fingerprint,
                                      int64_t num_samples, const EncodedShapes& shapes) {
  const ImageSides sides = image_sides(config);
  const DatasetSection& data = config.dataset;
  const EncoderSection& encoder = config.encoder;
  JobDescription job = {
      {"format", config.preprocessing.format},
      {"data set", str_cat(config.training.dataset, " ", data_fingerprint)},
      {"samples", std::to_string(num_samples)},
      {"image size", str_cat(sides.height, " x ", sides.width)},
      {"crop", str_cat(data.crop, ", seed ", config.training.seed.value_or(kDefaultSeed))},
      {"flip", data.flip ? "on" : "off"},
      {"allow_upscale", data.allow_upscale ? "on" : "off"},
      {"fast_jpeg", data.fast_jpeg ? "on" : "off"},
      {"precision", config.training.mixed_precision_param},
      {"pixel_patch", std::to_string(encoder.pixel_patch)}};
  for (std::size_t field = 0; field < kNumEncodedFields; ++field)
    job.emplace_back(kEncodedFields[field], shape_text(shapes[field]));
  for (const auto& [name, path] : std::vector<std::pair<std::string, std::optional<std::string>>>{
           {"T5 encoder", encoder.t5_encoder},
           {"CLIP encoder", encoder.clip_encoder},
           {"autoencoder", encoder.autoencoder_path}}) {
    TITAN_ASSIGN_OR_RETURN(const std::string identity, identity_of_files(path.value_or("")));
    job.emplace_back(name, identity);
  }
  return job;
}

int preprocess_main(const std::vector<std::string>& arguments) {
  ArgumentVector words("preprocess", arguments);
  return job_main(words.count(), words.data(),
                  {.name = "titan preprocess",
                   .default_config = "flux_schnell_mlperf",
                   .leading_words = 1,
                   .run = run});
}

}  // namespace titan::preprocess
