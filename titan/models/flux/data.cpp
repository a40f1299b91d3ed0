#include "titan/models/flux/data.h"

#include <algorithm>
#include <array>
#include <string>

#include <ATen/ops/zeros.h>

#include "titan/data/empty_encodings.h"

namespace titan::models {
namespace {

/// Names under which torchtitan registers images with captions.
constexpr std::array kImageDatasets = {"cc12m_wds",  "cc12m_wds_30k", "cc12m_test",
                                       "cc12m_disk", "coco",          "dummy"};

constexpr const char* kDownload =
    "MLCommons publishes them (2.5 TB): bash <(curl -s https://raw.githubusercontent.com/mlcommons/"
    "r2-downloader/refs/heads/main/mlc-r2-downloader.sh) https://training.mlcommons-storage.org/"
    "metadata/NAME.uri, NAME = flux-1-cc12m-preprocessed, flux-1-coco-preprocessed, "
    "flux-1-empty-encodings";

bool is_synthetic(const JobConfig& config) {
  return config.training.dataset.find("synthetic") != std::string::npos;
}

}  // namespace

StatusOr<std::unique_ptr<Dataset>> open_flux_dataset(const JobConfig& config) {
  const std::string& name = config.training.dataset;
  if (std::find(kImageDatasets.begin(), kImageDatasets.end(), name) == kImageDatasets.end())
    return open_dataset(config);
  return invalid_argument(
      "[flux] the data set ", name,
      " holds images and captions; they need the frozen encoders (encoder.t5_encoder, "
      "encoder.clip_encoder, encoder.autoencoder_path), which are not built yet. Train on "
      "preprocessed samples: train_configs/flux_schnell_mlperf_preprocessed.toml (training.dataset="
      "cc12m_preprocessed, eval.dataset=coco_preprocessed, encoder.empty_encodings_path). ",
      kDownload);
}

StatusOr<TextEncoding> empty_text(const JobConfig& config, const DataShape& shape) {
  const std::string path = config.encoder.empty_encodings_path.value_or("");
  const std::vector<int64_t>& t5 = shape.fields.at("t5_encodings");
  const std::vector<int64_t>& clip = shape.fields.at("clip_encodings");
  if (path.empty() && is_synthetic(config)) return TextEncoding{at::zeros(t5), at::zeros(clip)};
  if (path.empty()) {
    return invalid_argument(
        "[flux] training.class_dropout_prob=", config.training.class_dropout_prob,
        " drops prompts: encoder.empty_encodings_path must name the folder with the encodings of "
        "the empty one (t5_empty.npy, clip_empty.npy). ",
        kDownload);
  }
  TITAN_ASSIGN_OR_RETURN(const EmptyEncodings empty, load_empty_encodings(path));
  TITAN_RETURN_IF_ERROR(check_empty_encodings(empty, t5, clip));
  return TextEncoding{empty.t5, empty.clip};
}

}  // namespace titan::models
