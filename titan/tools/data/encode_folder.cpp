#include "titan/tools/data/encode_folder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/config/job_config.h"
#include "titan/data/builtin_datasets.h"
#include "titan/data/tensor_file.h"
#include "titan/io/atomic_file.h"
#include "titan/io/atomic_folder.h"
#include "titan/memory/cpu_allocator.h"
#include "titan/parallel/cuda_library.h"
#include "titan/parallel/libtorch_log.h"
#include "titan/tools/data/action.h"
#include "titan/tools/data/latent_encoder.h"
#include "titan/tools/data/ordered_work.h"

namespace titan::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEncodeFolderHelp =
    "titan convert-data encode-folder CLASS_FOLDER OUTPUT --autoencoder FILE | --torchscript FILE\n"
    "Encodes a folder with a sub-folder of pictures per class once: safetensors shards with\n"
    "`latents` and `labels`, which training.dataset = \"latents\" reads. OUTPUT must not exist; "
    "it\n"
    "appears whole or not at all.\n"
    "  --autoencoder FILE   weights of Flux's autoencoder (ae.safetensors), or one of another "
    "size\n"
    "  --torchscript FILE   a TorchScript encoder instead (Cosmos: encoder.jit); its code is run\n"
    "  --image-size N       pictures are resized to cover N x N, the middle is taken (256)\n"
    "  --latents mean|sampled  the distribution's mean, or a draw from it (mean)\n"
    "  --seed N             of the draws (0)\n"
    "  --flip on|off        each picture's mirror image behind it (off)\n"
    "  --scale X --shift Y  stored is X * (latent - Y); 0.3611 and 0.1159 with --autoencoder, 1 "
    "and\n"
    "                       0 with --torchscript\n"
    "  --dtype T            of the file: float32, float16 or bfloat16 (float16)\n"
    "  --device D           auto, cpu or cuda (auto)\n"
    "  --batch-size N       pictures encoded at once (16)\n"
    "  --rows-per-file N    (10000)\n"
    "  --threads N          that decode (one a core)\n";

struct Picture {
  at::Tensor image;  ///< [3, H, W]
  int64_t label = 0;
};

StatusOr<at::ScalarType> file_dtype(const std::string& name) {
  if (name == "float32") return at::kFloat;
  if (name == "float16") return at::kHalf;
  if (name == "bfloat16") return at::kBFloat16;
  return invalid_argument("[encode-folder] --dtype must be float32, float16 or bfloat16 (", name,
                          ")");
}

StatusOr<std::unique_ptr<LatentEncoder>> open_encoder(const EncodeFolderOptions& options,
                                                      at::Device device) {
  if (options.autoencoder.empty() == options.torchscript.empty())
    return invalid_argument("[encode-folder] needs --autoencoder or --torchscript, one of them");
  if (options.latents != "mean" && options.latents != "sampled")
    return invalid_argument("[encode-folder] --latents must be mean or sampled (", options.latents,
                            ")");
  if (!options.torchscript.empty()) {
    if (options.latents == "sampled")
      return invalid_argument(
          "[encode-folder] a TorchScript encoder gives latents, no distribution to sample from");
    return open_torchscript(options.torchscript, device);
  }
  return open_autoencoder(options.autoencoder, options.latents == "sampled", options.seed, device);
}

StatusOr<std::unique_ptr<Dataset>> open_pictures(const EncodeFolderOptions& options) {
  JobConfig config;
  config.training.dataset = "class_folder";
  config.training.dataset_path = options.input;
  config.training.img_size = options.image_size;
  config.dataset.crop = "center";
  return open_class_folder(config);
}

/// Encodes rows in batches and writes them in files.
class LatentWriter {
 public:
  LatentWriter(const EncodeFolderOptions& options, const LatentEncoder& encoder,
               at::ScalarType dtype, std::string folder)
      : options_(options), encoder_(encoder), dtype_(dtype), folder_(std::move(folder)) {
    const bool is_flux = options.torchscript.empty();
    constexpr double kFluxScale = 0.3611, kFluxShift = 0.1159;
    scale_ = options.has_scale ? options.scale : is_flux ? kFluxScale : 1;
    shift_ = options.has_shift ? options.shift : is_flux ? kFluxShift : 0;
  }

  Status add(const Picture& picture) {
    TITAN_RETURN_IF_ERROR(add_row(picture.image, picture.label));
    return options_.flip ? add_row(picture.image.flip({-1}), picture.label) : ok_status();
  }

  /// Writes what is left.
  Status finish() {
    TITAN_RETURN_IF_ERROR(encode());
    return write_file();
  }

  int64_t num_rows() const { return num_rows_; }
  const std::vector<int64_t>& latent_shape() const { return latent_shape_; }

 private:
  Status add_row(const at::Tensor& image, int64_t label) {
    images_.push_back(image);
    labels_.push_back(label);
    const auto in_file = static_cast<int64_t>(labels_.size());
    const bool file_is_full = in_file == options_.rows_per_file;
    if (file_is_full || static_cast<int64_t>(images_.size()) == options_.batch_size)
      TITAN_RETURN_IF_ERROR(encode());
    return file_is_full ? write_file() : ok_status();
  }

  Status encode() {
    if (images_.empty()) return ok_status();
    const at::Tensor latents = encoder_.encode(at::stack(images_), num_rows_);
    if (latents.dim() != 4 || latents.size(0) != static_cast<int64_t>(images_.size()))
      return invalid_argument("[encode-folder] latents must be [B, C, h, w] (", latents.sizes(),
                              " for ", images_.size(), " pictures)");
    if (!at::isfinite(latents).all().item<bool>())
      return data_loss("[encode-folder] the encoder gave NaN or infinity (rows ", num_rows_, " to ",
                       num_rows_ + latents.size(0) - 1, ")");
    latent_shape_ = latents.sizes().slice(1).vec();
    latents_.push_back(((latents - shift_) * scale_).to(dtype_));
    num_rows_ += latents.size(0);
    images_.clear();
    return ok_status();
  }

  Status write_file() {
    if (labels_.empty()) return ok_status();
    char name[64];
    std::snprintf(name, sizeof name, "latents-%05d.safetensors", num_files_++);
    const std::map<std::string, std::string> metadata = {
        {"encoder", fs::path(options_.torchscript + options_.autoencoder).filename().string()},
        {"latents", options_.latents},
        {"scale", str_cat(scale_)},
        {"shift", str_cat(shift_)}};
    // The wider type first: both stay aligned.
    TITAN_RETURN_IF_ERROR(
        write_tensor_file(
            (fs::path(folder_) / name).string(),
            {{"labels", at::tensor(labels_, at::kLong)}, {"latents", at::cat(latents_)}}, metadata)
            .status());
    labels_.clear();
    latents_.clear();
    return ok_status();
  }

  const EncodeFolderOptions& options_;
  const LatentEncoder& encoder_;
  at::ScalarType dtype_;
  std::string folder_;
  double scale_ = 1, shift_ = 0;
  std::vector<at::Tensor> images_;   ///< of the batch
  std::vector<at::Tensor> latents_;  ///< of the file
  std::vector<int64_t> labels_;      ///< of the file
  std::vector<int64_t> latent_shape_;
  int64_t num_rows_ = 0;
  int num_files_ = 0;
};

}  // namespace

Status encode_folder(const EncodeFolderOptions& options) {
  TITAN_ASSIGN_OR_RETURN(const at::ScalarType dtype, file_dtype(options.dtype));
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> pictures, open_pictures(options));
  TITAN_ASSIGN_OR_RETURN(const at::Device device, parallel::choose_device(options.device, 0));
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<LatentEncoder> encoder,
                         open_encoder(options, device));
  TITAN_ASSIGN_OR_RETURN(AtomicFolder folder, AtomicFolder::create(options.output));
  LatentWriter writer(options, *encoder, dtype, folder.path());
  ActionProgress progress("encode-folder", "pictures");
  const int64_t count = pictures->size();
  const auto make = [&](int64_t i) -> StatusOr<std::optional<Picture>> {
    if (i >= count) return std::nullopt;
    TITAN_ASSIGN_OR_RETURN(const Sample sample, pictures->read(i, {}));
    return Picture{sample.fields.get("image"), *pictures->label_of(i)};
  };
  const auto use = [&](int64_t i, const Picture& picture) -> StatusOr<bool> {
    TITAN_RETURN_IF_ERROR(writer.add(picture));
    progress.tell(i + 1, static_cast<double>(i + 1) / static_cast<double>(count));
    return true;
  };
  TITAN_RETURN_IF_ERROR(ordered_work<Picture>(0, num_workers(options.num_threads), make, use));
  TITAN_RETURN_IF_ERROR(writer.finish());
  std::string classes;
  for (const std::string& name : pictures->class_names()) classes += name + "\n";
  TITAN_RETURN_IF_ERROR(
      write_file_atomically((fs::path(folder.path()) / "classes.txt").string(), classes));
  TITAN_RETURN_IF_ERROR(folder.commit());
  TITAN_LOG(INFO) << "[encode-folder] " << writer.num_rows() << " latents "
                  << at::IntArrayRef(writer.latent_shape()) << " of " << count << " pictures in "
                  << options.output << ", " << progress.seconds() << " s";
  return ok_status();
}

int encode_folder_main(const std::vector<std::string>& args) {
  const auto parsed =
      parse_action("encode-folder", args,
                   {"autoencoder", "torchscript", "image-size", "latents", "seed", "flip", "scale",
                    "shift", "dtype", "device", "batch-size", "rows-per-file", "threads"},
                   2);
  if (!parsed.ok()) return exit_with(parsed.status());
  if (parsed->has("help")) {
    std::fputs(kEncodeFolderHelp, stdout);
    return 0;
  }
  const auto run = [&]() -> Status {
    EncodeFolderOptions options{.input = parsed->words()[0], .output = parsed->words()[1]};
    options.autoencoder = parsed->text("autoencoder", "");
    options.torchscript = parsed->text("torchscript", "");
    options.latents = parsed->text("latents", options.latents);
    options.dtype = parsed->text("dtype", options.dtype);
    options.device = parsed->text("device", options.device);
    const std::string flip = parsed->text("flip", "off");
    if (flip != "on" && flip != "off")
      return invalid_argument("[encode-folder] --flip must be on or off (", flip, ")");
    options.flip = flip == "on";
    options.has_scale = parsed->has("scale");
    options.has_shift = parsed->has("shift");
    TITAN_ASSIGN_OR_RETURN(options.scale, parsed->real("scale", 1, -1e6, 1e6));
    TITAN_ASSIGN_OR_RETURN(options.shift, parsed->real("shift", 0, -1e6, 1e6));
    TITAN_ASSIGN_OR_RETURN(const int64_t seed, parsed->integer("seed", 0, 0, INT64_MAX));
    options.seed = static_cast<std::uint64_t>(seed);
    TITAN_ASSIGN_OR_RETURN(options.image_size,
                           parsed->integer("image-size", options.image_size, 1, 1 << 14));
    TITAN_ASSIGN_OR_RETURN(options.batch_size,
                           parsed->integer("batch-size", options.batch_size, 1, 1 << 16));
    TITAN_ASSIGN_OR_RETURN(options.rows_per_file,
                           parsed->integer("rows-per-file", options.rows_per_file, 1, 1 << 30));
    TITAN_ASSIGN_OR_RETURN(options.num_threads, parsed->integer("threads", 0, 1, 4096));
    return encode_folder(options);
  };
  parallel::quiet_libtorch();
  parallel::load_cuda_library();
  memory::install_cpu_allocator();
  return exit_with(run());
}

}  // namespace titan::tools
