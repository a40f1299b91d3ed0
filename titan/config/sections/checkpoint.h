// checkpoint.h: settings of saving and resuming.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/config/fields.h"

namespace titan {

struct CheckpointSection {
  bool enable_checkpoint = false;
  std::string folder = "checkpoint";
  int64_t interval = 500;
  int64_t keep_latest_k = 10;
  int64_t load_step = -1;
  std::string async_mode = "disabled";
  std::string initial_load_path;
  bool initial_load_model_weights_only = true;
  bool model_weights_only = false;
  std::string export_dtype = "float32";
  std::vector<std::string> exclude_from_loading = {};
  std::vector<std::string> allow_change = {};
};
template <class V>
void visit_fields(CheckpointSection& c, V&& v) {
  v("enable_checkpoint", c.enable_checkpoint, "save checkpoints and resume from the newest");
  v("folder", c.folder, "folder of checkpoints inside the run folder");
  v("interval", c.interval, "steps between checkpoints; the last step is always saved",
    rule::at_least(1));
  v("keep_latest_k", c.keep_latest_k, "older checkpoints are removed; 0 = keep all",
    rule::at_least(0));
  v("async_mode", c.async_mode,
    "async = training goes on while a checkpoint is written from a copy of the state",
    rule::one_of({"disabled", "async"}));
  v("load_step", c.load_step, "step to resume from; -1 = the newest", rule::at_least(-1));
  v("initial_load_path", c.initial_load_path,
    "where a run without checkpoints of its own starts from: weights in safetensors (a file, or a "
    "folder with an index; under any of the model's published names), or a run folder, folder of "
    "checkpoints or one checkpoint of titan");
  v("initial_load_model_weights_only", c.initial_load_model_weights_only,
    "initial_load_path gives the weights alone; off = optimizer, step and place in the data, too "
    "(checkpoints of titan)");
  v("model_weights_only", c.model_weights_only,
    "the last step saves the weights alone, in export_dtype under their published names, instead "
    "of a checkpoint; a run stopped by a signal still saves everything");
  v("export_dtype", c.export_dtype, "dtype of weights saved by model_weights_only",
    rule::one_of({"float32", "bfloat16", "float16"}));
  v("exclude_from_loading", c.exclude_from_loading,
    "parts of a checkpoint that are not loaded but start anew",
    rule::one_of({"model", "optimizer", "lr_scheduler", "dataloader", "train_state", "ema"}));
  v("allow_change", c.allow_change, "what may differ from the checkpoint's run",
    rule::one_of({"model", "dataset", "seed", "global_batch_size", "objective"}));
}

}  // namespace titan
