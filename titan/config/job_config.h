// job_config.h: every setting of a job, with its default. Names are torchtitan's where it has the
// key (flux-mlperf.md section 6). A model's own settings live under [model.args] and are decoded by
// the model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/config/arg_table.h"
#include "titan/config/fields.h"

namespace titan {

struct JobSection {
  std::string config_file;
  std::string dump_folder;
  std::string description = "default job";
  std::string device = "auto";
  bool print_args = false;
  int64_t num_threads = 0;
};
template <class V>
void visit_fields(JobSection& c, V&& v) {
  v("config_file", c.config_file,
    "TOML file: a path, or a name in train_configs/ (also --config, CONFIG, CONFIG_FILE)");
  v("dump_folder", c.dump_folder, "run folder; empty = outputs/<config name>");
  v("description", c.description, "free text, kept in run.json");
  v("device", c.device,
    "where to train; auto takes CUDA where a device and driver work, and says so",
    rule::one_of({"auto", "cpu", "cuda"}));
  v("print_args", c.print_args, "print the resolved config at start");
  v("num_threads", c.num_threads,
    "CPU threads of one rank for tensor operations; 0 = cores / ranks on this host",
    rule::at_least(0));
}

struct ModelSection {
  std::string name = "dit";
  std::string flavor = "debugmodel";
  ArgTable args;  ///< [model.args]: decoded by the model's own field list over the flavor's values
};
template <class V>
void visit_fields(ModelSection& c, V&& v) {
  v("name", c.name, "registered model");
  v("flavor", c.flavor, "size of the model, as the model's table names it");
}

struct DatasetSection {
  std::vector<int64_t> image_size = {};
  int64_t num_classes = 0;
  int64_t num_workers = 2;
  int64_t prefetch_batches = 4;
  std::string crop = "random";
  bool flip = false;
  double max_broken_share = 0.01;
  std::string label_field = "cls";
  bool allow_upscale = true;
  int64_t channels = 3;
};
template <class V>
void visit_fields(DatasetSection& c, V&& v) {
  v("image_size", c.image_size,
    "height, width of images in pixels (or of latents); empty = [img_size, img_size]",
    rule::at_least(1));
  v("num_classes", c.num_classes, "number of classes; 0 = as the data set says", rule::at_least(0));
  v("num_workers", c.num_workers, "threads that read and decode ahead of the step",
    rule::at_least(1));
  v("prefetch_batches", c.prefetch_batches, "micro-batches kept ready ahead of the step",
    rule::at_least(1));
  v("crop", c.crop, "crop after the covering resize: random (keyed by sample) or center",
    rule::one_of({"random", "center"}));
  v("flip", c.flip, "mirror images left-right at random (keyed by sample)");
  v("max_broken_share", c.max_broken_share,
    "the run stops when more than this share of samples read is broken", rule::between(0, 1));
  v("label_field", c.label_field,
    "webdataset member that holds the class id (cls, or a key of json)");
  v("allow_upscale", c.allow_upscale,
    "images smaller than image_size are enlarged; off = skipped, named and counted as broken");
  v("channels", c.channels, "channels of synthetic images or latents", rule::at_least(1));
}

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
  v("deterministic", c.deterministic, "only deterministic kernels");
  v("shuffle", c.shuffle,
    "a new order each epoch, a pure function of seed and epoch; off = stored order");
  v("img_size", c.img_size, "side of square images in pixels", rule::at_least(1));
  v("subset_size", c.subset_size, "use only the first n samples", rule::at_least(1));
  v("mixed_precision_param", c.mixed_precision_param,
    "dtype of computation; master weights stay float32", rule::one_of({"float32", "bfloat16"}));
  v("mixed_precision_reduce", c.mixed_precision_reduce,
    "dtype in which gradients are summed over ranks", rule::one_of({"float32"}));
  v("class_dropout_prob", c.class_dropout_prob,
    "share of samples trained without their condition (class, or all text encodings together), for "
    "guidance",
    rule::between(0, 1));
  v("on_nonfinite", c.on_nonfinite,
    "a loss or gradient that is not a finite number: stop, naming the samples, or skip and count "
    "the step; the weights keep their values either way",
    rule::one_of({"stop", "skip"}));
  v("max_nonfinite_steps", c.max_nonfinite_steps,
    "on_nonfinite = skip: a run that skips this many steps in a row stops", rule::at_least(1));
}

struct EncoderSection {
  std::optional<std::string> t5_encoder;
  std::optional<std::string> clip_encoder;
  std::optional<std::string> autoencoder_path;
  double autoencoder_shift = 0.1159;
  double autoencoder_scale = 0.3611;
  int64_t max_t5_encoding_len = 256;
  int64_t context_in_dim = 4096;
  int64_t vec_in_dim = 768;
  std::optional<std::string> empty_encodings_path;
};
template <class V>
void visit_fields(EncoderSection& c, V&& v) {
  v("t5_encoder", c.t5_encoder, "folder of the T5 encoder; unset or empty = not loaded");
  v("clip_encoder", c.clip_encoder, "folder of the CLIP text encoder; unset or empty = not loaded");
  v("autoencoder_path", c.autoencoder_path,
    "autoencoder's safetensors file; unset or empty = not loaded");
  v("autoencoder_shift", c.autoencoder_shift,
    "the model sees (latent - shift) x scale; 0 is a value, not a blank");
  v("autoencoder_scale", c.autoencoder_scale, "see autoencoder_shift", rule::above(0));
  v("max_t5_encoding_len", c.max_t5_encoding_len, "text tokens of a sample", rule::at_least(1));
  v("context_in_dim", c.context_in_dim, "width of the T5 encodings", rule::at_least(1));
  v("vec_in_dim", c.vec_in_dim, "width of the pooled CLIP encoding", rule::at_least(1));
  v("empty_encodings_path", c.empty_encodings_path,
    "folder with t5_empty.npy and clip_empty.npy, the encodings of the empty prompt");
}

struct EvalSection {
  std::optional<std::string> dataset;
  std::optional<std::string> dataset_path;
  int64_t batch_size = 16;
  int64_t eval_freq = 262144;
  double target_eval_loss = 0.586;
  int64_t seed = 0;
  std::optional<int64_t> subset_size;
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
}

struct ObjectiveSection {
  std::string name = "rectified_flow";
  std::string timestep_sampler = "uniform";
  double logit_mean = 0.0;
  double logit_std = 1.0;
  double mode_scale = 1.29;
  double shift = 1.0;
  std::string loss_weight = "none";
  std::string prediction = "epsilon";
  int64_t num_timesteps = 1000;
  std::string beta_schedule = "linear";
  double min_snr_gamma = 0.0;
  double guidance = 3.5;
};
template <class V>
void visit_fields(ObjectiveSection& c, V&& v) {
  v("name", c.name, "training objective", rule::one_of({"rectified_flow", "ddpm"}));
  v("timestep_sampler", c.timestep_sampler, "density of the timestep (rectified flow)",
    rule::one_of({"uniform", "logit_normal", "mode", "cosmap"}));
  v("logit_mean", c.logit_mean, "logit_normal: mean of the logit");
  v("logit_std", c.logit_std, "logit_normal: standard deviation of the logit", rule::above(0));
  v("mode_scale", c.mode_scale, "mode: weight of the middle (Esser et al. 2024, section 3.1)",
    rule::between(-1, 1.75));
  v("shift", c.shift, "timesteps are moved towards noise by this factor; 1 = not at all",
    rule::above(0));
  v("loss_weight", c.loss_weight,
    "rectified_flow: weight of a sample by its noise level (Esser et al. 2024, section 3.1)",
    rule::one_of({"none", "sigma_sqrt", "cosmap"}));
  v("prediction", c.prediction, "ddpm: what the model predicts", rule::one_of({"epsilon", "v"}));
  v("num_timesteps", c.num_timesteps, "ddpm: length of the noise schedule", rule::at_least(2));
  v("beta_schedule", c.beta_schedule, "ddpm: noise schedule",
    rule::one_of({"linear", "scaled_linear", "cosine"}));
  v("min_snr_gamma", c.min_snr_gamma, "ddpm: min-SNR loss weight (Hang et al. 2023); 0 = off",
    rule::at_least(0));
  v("guidance", c.guidance,
    "guidance scale that a model with a guidance embedding (flux-dev) is told while training",
    rule::at_least(0));
}

struct OptimizerSection {
  std::string name = "AdamW";
  double lr = 8e-4;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  std::vector<std::string> no_decay = {};
  std::string implementation = "fused";
};
template <class V>
void visit_fields(OptimizerSection& c, V&& v) {
  v("name", c.name, "optimizer; Adam = AdamW without weight decay",
    rule::one_of({"AdamW", "Adam"}));
  v("lr", c.lr, "peak learning rate", rule::above(0));
  v("beta1", c.beta1, "decay of the first moment",
    FieldRule{.min = 0, .max = 1, .max_exclusive = true});
  v("beta2", c.beta2, "decay of the second moment",
    FieldRule{.min = 0, .max = 1, .max_exclusive = true});
  v("eps", c.eps, "added to the root of the second moment", rule::above(0));
  v("weight_decay", c.weight_decay, "decoupled weight decay", rule::at_least(0));
  v("no_decay", c.no_decay,
    "parameters whose name contains one of these texts get no weight decay (e.g. "
    "bias,norm,embedder)");
  v("implementation", c.implementation, "LibTorch's fused update, or the same in plain operations",
    rule::one_of({"fused", "foreach", "for-loop"}));
}

struct LrSchedulerSection {
  std::string name = "wsd";
  int64_t warmup_steps = 200;
  std::optional<double> decay_ratio;
  std::string decay_type = "linear";
  double lr_min = 0.0;
  double power = 1.0;
  int64_t num_cycles = 1;
};
template <class V>
void visit_fields(LrSchedulerSection& c, V&& v) {
  v("name", c.name,
    "wsd (warmup, stable, decay), linear (TorchDiTan's warm-up and decay), polynomial, or "
    "cosine_restarts",
    rule::one_of({"wsd", "linear", "polynomial", "cosine_restarts"}));
  v("warmup_steps", c.warmup_steps, "steps of linear warm-up", rule::at_least(0));
  v("decay_ratio", c.decay_ratio,
    "wsd: share of the steps that decays; unset = all after the warm-up", rule::between(0, 1));
  v("decay_type", c.decay_type, "wsd: shape of the decay",
    rule::one_of({"linear", "cosine", "sqrt", "constant"}));
  v("lr_min", c.lr_min, "end of the decay, as a share of optimizer.lr", rule::between(0, 1));
  v("power", c.power, "polynomial: exponent", rule::above(0));
  v("num_cycles", c.num_cycles, "cosine_restarts: number of cycles", rule::at_least(1));
}

struct EmaSection {
  bool enable = false;
  double decay = 0.9999;
  std::optional<double> half_life;
  int64_t interval = 1;
  int64_t start_step = 0;
};
template <class V>
void visit_fields(EmaSection& c, V&& v) {
  v("enable", c.enable, "keep an exponential moving average of the weights, in float32");
  v("decay", c.decay, "share kept at each update",
    FieldRule{.min = 0, .max = 1, .max_exclusive = true});
  v("half_life", c.half_life,
    "steps in which a weight's share halves; replaces decay: 2^(-interval / half_life)",
    rule::above(0));
  v("interval", c.interval, "steps between updates", rule::at_least(1));
  v("start_step", c.start_step, "before this step the average is a copy of the weights",
    rule::at_least(0));
}

struct ParallelismSection {
  int64_t data_parallel_replicate_degree = 1;
  int64_t data_parallel_shard_degree = -1;
  int64_t tensor_parallel_degree = 1;
  int64_t context_parallel_degree = 1;
  int64_t pipeline_parallel_degree = 1;
};
template <class V>
void visit_fields(ParallelismSection& c, V&& v) {
  v("data_parallel_replicate_degree", c.data_parallel_replicate_degree,
    "ranks that hold copies of the model; -1 = the rest", rule::at_least(-1));
  v("data_parallel_shard_degree", c.data_parallel_shard_degree,
    "ranks over which the model is sharded; -1 = the rest", rule::at_least(-1));
  v("tensor_parallel_degree", c.tensor_parallel_degree, "reserved; only 1 is built",
    rule::at_least(1));
  v("context_parallel_degree", c.context_parallel_degree, "reserved; only 1 is built",
    rule::at_least(1));
  v("pipeline_parallel_degree", c.pipeline_parallel_degree, "reserved; only 1 is built",
    rule::at_least(1));
}

struct CommSection {
  int64_t init_timeout_seconds = 300;
  int64_t train_timeout_seconds = 100;
};
template <class V>
void visit_fields(CommSection& c, V&& v) {
  v("init_timeout_seconds", c.init_timeout_seconds,
    "longest wait for the other ranks until the first step ends", rule::at_least(1));
  v("train_timeout_seconds", c.train_timeout_seconds,
    "longest wait for the other ranks in a later collective", rule::at_least(1));
}

struct CheckpointSection {
  bool enable_checkpoint = false;
  std::string folder = "checkpoint";
  int64_t interval = 500;
  int64_t keep_latest_k = 10;
  int64_t load_step = -1;
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

struct MetricsSection {
  int64_t log_freq = 10;
  bool log_to_console = true;
  bool disable_color_printing = false;
  bool enable_tensorboard = false;
  std::string save_tb_folder = "tb";
  bool save_for_all_ranks = false;
  bool mlperf_logging = false;
};
template <class V>
void visit_fields(MetricsSection& c, V&& v) {
  v("log_freq", c.log_freq, "steps between metric lines; step 1 and the last are always logged",
    rule::at_least(1));
  v("log_to_console", c.log_to_console,
    "metric lines (or a progress bar on a terminal) on the screen");
  v("disable_color_printing", c.disable_color_printing, "no colours");
  v("enable_tensorboard", c.enable_tensorboard, "write TensorBoard events");
  v("save_tb_folder", c.save_tb_folder, "folder of TensorBoard events inside the run folder");
  v("save_for_all_ranks", c.save_for_all_ranks, "events of every rank, not of rank 0 alone");
  v("mlperf_logging", c.mlperf_logging,
    "MLPerf's :::MLLOG lines, on the screen and in the run's mlperf.log");
}

struct MlperfSection {
  std::string submission_benchmark = "flux1";
  std::string submission_division = "closed";
  std::string submission_org;
  std::string submission_platform;
  std::string submission_status = "onprem";
  std::string submission_poc_name;
  std::string submission_poc_email;
  bool cache_clear = false;
};
template <class V>
void visit_fields(MlperfSection& c, V&& v) {
  v("submission_benchmark", c.submission_benchmark, "name of the benchmark");
  v("submission_division", c.submission_division, "division of the submission",
    rule::one_of({"closed", "open"}));
  v("submission_org", c.submission_org, "who submits; the compliance checker wants one");
  v("submission_platform", c.submission_platform,
    "the machine, in words; the compliance checker wants one");
  v("submission_status", c.submission_status, "onprem, cloud, preview or research");
  v("submission_poc_name", c.submission_poc_name, "whom to ask");
  v("submission_poc_email", c.submission_poc_email, "and where");
  v("cache_clear", c.cache_clear,
    "whether the system's file caches were dropped before this run; the launch script does it");
}

struct SamplingSection {
  bool enable = false;
  int64_t freq = 500;
  int64_t num_samples = 16;
  int64_t steps = 32;
  std::vector<double> guidance = {3.0};
  std::vector<int64_t> classes = {};
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

struct KernelsSection {
  std::string backend = "fused";
};
template <class V>
void visit_fields(KernelsSection& c, V&& v) {
  v("backend", c.backend, "titan's own operators, or the same mathematics in plain ATen",
    rule::one_of({"fused", "reference"}));
}

struct MemorySection {
  bool cpu_cache = true;
};
template <class V>
void visit_fields(MemorySection& c, V&& v) {
  v("cpu_cache", c.cpu_cache, "caching CPU allocator with huge pages");
}

struct JobConfig {
  JobSection job;
  ModelSection model;
  DatasetSection dataset;
  TrainingSection training;
  EncoderSection encoder;
  EvalSection eval;
  ObjectiveSection objective;
  OptimizerSection optimizer;
  LrSchedulerSection lr_scheduler;
  EmaSection ema;
  ParallelismSection parallelism;
  CommSection comm;
  CheckpointSection checkpoint;
  MetricsSection metrics;
  MlperfSection mlperf;
  SamplingSection sampling;
  KernelsSection kernels;
  MemorySection memory;
};
/// v(section name, section, help)
template <class V>
void visit_sections(JobConfig& c, V&& v) {
  v("job", c.job, "the run: where it writes and where it runs");
  v("model", c.model, "which model; its own settings are under [model.args]");
  v("dataset", c.dataset, "how samples are read and prepared");
  v("training", c.training, "data, batch, length, precision");
  v("encoder", c.encoder, "frozen encoders, and the encodings they leave");
  v("eval", c.eval, "evaluation while training");
  v("objective", c.objective, "what is learned");
  v("optimizer", c.optimizer, "the update");
  v("lr_scheduler", c.lr_scheduler, "learning rate over time");
  v("ema", c.ema, "averaged weights");
  v("parallelism", c.parallelism, "layout of ranks");
  v("comm", c.comm, "timeouts between ranks");
  v("checkpoint", c.checkpoint, "saving and resuming");
  v("metrics", c.metrics, "what is measured and where it goes");
  v("mlperf", c.mlperf, "fields of an MLPerf submission's log (metrics.mlperf_logging)");
  v("sampling", c.sampling, "pictures drawn while training");
  v("kernels", c.kernels, "operator implementations");
  v("memory", c.memory, "allocator");
}

}  // namespace titan
