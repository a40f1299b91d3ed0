// training.h: settings of data, batch, length, precision of a run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "titan/config/fields.h"

namespace titan {

struct TrainingSection {
  std::string dataset = "synthetic";
  std::optional<std::string> dataset_path;
  int64_t batch_size = 8;
  int64_t global_batch_size = 0;
  int64_t steps = 10000;
  double max_norm = 1.0;
  std::optional<int64_t> seed;
  bool deterministic = false;
  bool shuffle = true;
  int64_t img_size = 256;
  std::optional<int64_t> subset_size;
  std::string mixed_precision_param = "float32";
  std::string mixed_precision_reduce = "float32";
  double class_dropout_prob = 0.1;
  bool enable_cpu_offload = false;
  bool compile = true;
  std::string cuda_graphs = "auto";
  std::string on_nonfinite = "stop";
  int64_t max_nonfinite_steps = 10;
};
template <class V>
void visit_fields(TrainingSection& c, V&& v) {
  v("dataset", c.dataset, "registered data set");
  v("dataset_path", c.dataset_path, "file or folder of the data set");
  v("batch_size", c.batch_size, "micro-batch per data-parallel rank, in samples",
    rule::at_least(1));
  v("global_batch_size", c.global_batch_size,
    "samples per optimizer step over all ranks; 0 = batch_size x data-parallel ranks; the ratio is "
    "the accumulation",
    rule::at_least(0));
  v("steps", c.steps, "optimizer steps to train", rule::at_least(1));
  v("max_norm", c.max_norm, "gradients are scaled down to this global norm; 0 = no clipping",
    rule::at_least(0));
  v("seed", c.seed, "seed of parameters, noise, data order; unset = drawn once, logged and saved",
    rule::at_least(0));
  v("deterministic", c.deterministic,
    "the same bits from run to run on one layout: only deterministic kernels");
  v("shuffle", c.shuffle,
    "a new order each epoch, a pure function of seed and epoch; off = stored order");
  v("img_size", c.img_size, "side of square images in pixels", rule::at_least(1));
  v("subset_size", c.subset_size, "use only the first n samples", rule::at_least(1));
  v("mixed_precision_param", c.mixed_precision_param,
    "dtype of computation; master weights stay float32", rule::one_of({"float32", "bfloat16"}));
  v("mixed_precision_reduce", c.mixed_precision_reduce,
    "dtype in which gradients are summed over ranks", rule::one_of({"float32", "bfloat16"}));
  v("class_dropout_prob", c.class_dropout_prob,
    "share of samples trained without their condition (class, or all text encodings together), for "
    "guidance",
    rule::between(0, 1));
  v("enable_cpu_offload", c.enable_cpu_offload,
    "master weights, gradients and optimizer state lie in host memory and are updated there; the "
    "device holds what is being computed");
  v("compile", c.compile,
    "fused kernels and, on a GPU, one graph for the whole iteration; off = plain operations of "
    "LibTorch one by one");
  v("cuda_graphs", c.cuda_graphs,
    "compile on a GPU: auto = a step is captured once and replayed, where nothing in it forbids "
    "that; off = launched one by one",
    rule::one_of({"auto", "off"}));
  v("on_nonfinite", c.on_nonfinite,
    "a loss or gradient that is not a finite number: stop, naming the samples, or skip and count "
    "the step; the weights keep their values either way",
    rule::one_of({"stop", "skip"}));
  v("max_nonfinite_steps", c.max_nonfinite_steps,
    "on_nonfinite = skip: a run that skips this many steps in a row stops", rule::at_least(1));
}

}  // namespace titan
