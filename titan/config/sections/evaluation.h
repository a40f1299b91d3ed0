// evaluation.h: settings of losses and pictures while training.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/config/fields.h"

namespace titan {

struct EvalSection {
  std::optional<std::string> dataset;
  std::optional<std::string> dataset_path;
  int64_t batch_size = 16;
  int64_t eval_freq = 262144;
  double target_eval_loss = 0.586;
  int64_t seed = 0;
  std::optional<int64_t> subset_size;
  std::string save_img_folder;
};
template <class V>
void visit_fields(EvalSection& c, V&& v) {
  v("dataset", c.dataset, "registered data set to evaluate on; unset or empty = no evaluation");
  v("dataset_path", c.dataset_path, "file or folder of the evaluation data set");
  v("batch_size", c.batch_size, "samples per forward and rank; the result does not depend on it",
    rule::at_least(1));
  v("eval_freq", c.eval_freq,
    "training samples between evaluations, rounded up to whole optimizer steps", rule::at_least(1));
  v("target_eval_loss", c.target_eval_loss,
    "training ends once the evaluation loss is at or below this; 0 = never", rule::at_least(0));
  v("seed", c.seed, "seed of the evaluation's noise: the same at every evaluation",
    rule::at_least(0));
  v("subset_size", c.subset_size, "evaluate only the first n samples", rule::at_least(1));
  v("save_img_folder", c.save_img_folder,
    "folder in the run folder: at each evaluation a grid of pictures drawn for the first captions "
    "of the evaluation set; empty = none. Needs the encoders");
}

struct SamplingSection {
  bool enable = false;
  int64_t freq = 500;
  int64_t num_samples = 16;
  int64_t steps = 32;
  std::vector<double> guidance = {3.0};
  std::vector<int64_t> classes = {};
  std::vector<std::string> prompts = {};
  std::string schedule_shift = "auto";
  double base_shift = 0.5;
  double max_shift = 1.15;
  int64_t seed = 0;
  bool show_real = false;
  bool use_ema = true;
};
template <class V>
void visit_fields(SamplingSection& c, V&& v) {
  v("enable", c.enable, "draw sample grids while training");
  v("freq", c.freq, "steps between grids; the last step is always drawn", rule::at_least(1));
  v("num_samples", c.num_samples, "pictures per guidance scale", rule::at_least(1));
  v("steps", c.steps, "sampler steps", rule::at_least(1));
  v("guidance", c.guidance, "guidance scales, drawn side by side; 1 = off", rule::at_least(0));
  v("classes", c.classes, "classes to draw, repeated as needed; empty = 0, 1, 2, ...",
    rule::at_least(0));
  v("prompts", c.prompts,
    "texts to draw, repeated as needed; empty = captions of the data set's first samples");
  v("schedule_shift", c.schedule_shift,
    "Flux: move the timesteps towards noise, the more the larger the image; auto = for models with "
    "a guidance embedding (flux-dev), not for others",
    rule::one_of({"auto", "on", "off"}));
  v("base_shift", c.base_shift, "Flux: shift exponent at 256 image tokens");
  v("max_shift", c.max_shift, "Flux: shift exponent at 4096 image tokens");
  v("seed", c.seed, "seed of the initial noise", rule::at_least(0));
  v("show_real", c.show_real, "real pictures of the same classes beside the samples");
  v("use_ema", c.use_ema, "sample from the averaged weights where there are any");
}

struct InferenceSection {
  std::string save_path = "inference_results";
  std::string prompts_path = "prompts.txt";
  int64_t batch_size = 16;
};
template <class V>
void visit_fields(InferenceSection& c, V&& v) {
  v("save_path", c.save_path, "folder in the run folder for a PNG of each prompt, and a grid");
  v("prompts_path", c.prompts_path, "file with one prompt a line");
  v("batch_size", c.batch_size, "pictures per forward and rank", rule::at_least(1));
}

}  // namespace titan
