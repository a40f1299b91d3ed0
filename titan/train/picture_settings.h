// picture_settings.h: what a picture was drawn with, as words in its PNG file, by which a later job
// knows its own work. No torch.
#pragma once

#include <cstdint>
#include <string>

#include "titan/base/status.h"
#include "titan/config/job_config.h"
#include "titan/io/png_text.h"

namespace titan {

struct PictureSettings {
  std::string model;    ///< "flux flux-schnell"
  std::string weights;  ///< where they came from: a path
  std::string step;     ///< of the weights, "100"; empty where they are no run's
  bool averages = false;
  int64_t sampling_steps = 0;
  std::uint64_t seed = 0;
  /// Of everything that decides the pixels but prompt, guidance and number: files and settings.
  std::string fingerprint;
};

/// What pictures of a job's settings are drawn with. The fingerprint covers the settings that
/// decide pixels, and the files of the weights and of the encoders (identity_on_disk). Errors name
/// a path.
StatusOr<PictureSettings> picture_settings(const JobConfig& config, const std::string& weights,
                                           bool averages);

/// What tells one file, folder of files or checkpoint from another: the checkpoint's index (which
/// holds the checksums of all its files), or name, size and time of each file; "none" for an empty
/// path. A Hugging Face cache or a model's id stands for its folder (resolve_model_path). Errors
/// name the path.
StatusOr<std::string> identity_on_disk(const std::string& named, const std::string& role = "");

/// Words of a picture: "prompt", "negative_prompt" (the empty one), "guidance", "steps", "seed",
/// "picture" (number: with the seed it keys the noise), "model", "weights", "weights_step",
/// "averages", "fingerprint", "Software" (version and revision of titan).
PngText picture_text(const PictureSettings& settings, const std::string& prompt, double guidance,
                     int64_t number);

/// Words of a page with many pictures.
PngText page_text(const PictureSettings& settings);

/// Whether a PNG file at `path` is whole and shows this prompt, drawn with these settings, whatever
/// version of titan did it.
bool is_drawn(const std::string& path, const PngText& wanted);

}  // namespace titan
