// prompt_model.h: a trained model with its encoders, ready to draw prompts, on all ranks of a job.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/train/job_main.h"
#include "titan/train/picture_settings.h"

namespace titan {

/// Which weights a job draws from.
struct WeightsToDraw {
  std::string path;       ///< a checkpoint, or a file of weights
  bool averages = false;  ///< the running averages in it
};

/// Of the run in job.dump_folder: checkpoint.load_step, or its last step; averages where there are
/// any and sampling.use_ema is on. A folder without a run draws from checkpoint.initial_load_path.
/// The error lists the steps there are, or says how to name a run.
StatusOr<WeightsToDraw> weights_to_draw(const JobConfig& config);

class PromptModel {
 public:
  /// Builds and fills model and encoders as the settings say, shared by the ranks where parameters
  /// are. Every rank calls. Errors say what is missing and how to get it: weights, encoders of
  /// text, a decoder of latents; a model that takes no text.
  static StatusOr<std::unique_ptr<PromptModel>> open(const JobContext& job);
  virtual ~PromptModel() = default;

  /// What the pictures are drawn with.
  virtual const PictureSettings& settings() const = 0;
  /// Pictures [n, 3, H, W] in [-1, 1] on the CPU for each scale of sampling.guidance, of n prompts
  /// numbered from `first` on (the number keys the noise). Where ranks share parameters all call
  /// equally often. kDataLoss where a picture is not made of numbers.
  virtual StatusOr<std::vector<at::Tensor>> draw(int64_t first,
                                                 const std::vector<std::string>& prompts) = 0;
};

}  // namespace titan
