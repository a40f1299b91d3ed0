#include "tests/support/catch.h"

#include "titan/config/aliases.h"

#include <set>

#include "titan/config/field_table.h"
#include "titan/config/loader.h"

#include "tests/support/temporary_folder.h"

using titan::load_config;
using titan::testing::TemporaryFolder;

namespace {
// TorchDiTan's default latent config, as diffusion-trainers write it.
const char* const kTorchDiTan = R"(
[job]
dump_folder = "./outputs"
description = "DiT L latent"
use_for_integration_test = false
[profiling]
enable_profiling = true
save_traces_folder = "profile_trace"
profile_freq = 500
enable_memory_snapshot = false
[metrics]
log_freq = 1
enable_color_printing = true
enable_tensorboard = true
save_tb_folder = "tb"
enable_wandb = true
enable_sampling = true
sample_freq = 100
sample_batch_size = 16
experiment_name = "dit"
[model]
name = "llama3_diffusion"
flavor = "DiT-L"
norm_type = "rmsnorm"
patch_size = 2
input_channels = 16
tokenizer_path = "./tokenizer.model"
[optimizer]
name = "AdamW"
lr = 1e-4
fused = true
[training]
batch_size = 16
seq_len = 2048
warmup_steps = 100
max_norm = 1.0
steps = 2000000
data_parallel_replicate_degree = 1
data_parallel_shard_degree = 2
tensor_parallel_degree = 1
mixed_precision_param = "bfloat16"
mixed_precision_reduce = "float32"
compile = false
[dataset]
dataset_name = "imagenet"
root_dir = "/data/imagenet"
batch_size = 1
num_workers = 0
image_size = [32, 32]
num_classes = 1000
[experimental]
context_parallel_degree = 1
pipeline_parallel_degree = 1
enable_async_tensor_parallel = false
[checkpoint]
enable_checkpoint = false
folder = "checkpoint"
interval_type = "steps"
interval = 500
model_weights_only = false
export_dtype = "float32"
async_mode = "disabled"
[activation_checkpoint]
mode = "selective"
selective_ac_option = "2"
[float8]
enable_float8_linear = false
enable_fsdp_float8_all_gather = false
precompute_float8_dynamic_scale_for_fsdp = false
[autotune]
batch_size_multiple = 8
)";

// torchtitan's Flux debug_model.
const char* const kFluxDebug = R"(
[job]
dump_folder = "./outputs"
description = "Flux debug model"
print_args = false
use_for_integration_test = true
[profiling]
enable_profiling = false
save_traces_folder = "profile_trace"
profile_freq = 10
enable_memory_snapshot = false
save_memory_snapshot_folder = "memory_snapshot"
[metrics]
log_freq = 1
disable_color_printing = false
enable_tensorboard = false
save_tb_folder = "tb"
enable_wandb = false
[model]
name = "flux"
flavor = "flux-debug"
[optimizer]
name = "AdamW"
lr = 8e-4
eps = 1e-8
[lr_scheduler]
warmup_steps = 1
decay_ratio = 0.0
[training]
batch_size = 4
seq_len = 256
max_norm = 2.0
steps = 10
compile = false
dataset = "cc12m-test"
classifer_free_guidance_prob = 0.1
img_size = 256
[encoder]
t5_encoder = "google/t5-v1_1-small"
context_in_dim = 4096
max_t5_encoding_len = 256
clip_encoder = "/models/clip"
autoencoder_path = "/models/autoencoder/ae.safetensors"
[eval]
enable_classifer_free_guidance = true
classifer_free_guidance_scale = 5.0
denoising_steps = 4
save_img_folder = "img"
eval_freq = 20
dataset = "coco"
[parallelism]
data_parallel_replicate_degree = 1
data_parallel_shard_degree = -1
[activation_checkpoint]
mode = "full"
[checkpoint]
enable_checkpoint = false
folder = "checkpoint"
interval = 5
model_weights_only = false
export_dtype = "float32"
async_mode = "disabled"
[experimental]
custom_args_module = "torchtitan.experiments.flux.job_config"
)";

titan::StatusOr<titan::LoadedConfig> load(const std::string& toml,
                                          std::vector<std::string> args = {}) {
  const TemporaryFolder scratch;
  args.push_back("--config=" + scratch.write("a.toml", toml));
  auto loaded = load_config(args);
  INFO((loaded.ok() ? "" : titan::message_of(loaded.status())));
  REQUIRE(loaded.ok());
  return loaded;
}

bool warned(const titan::LoadedConfig& loaded, const std::string& text) {
  for (const std::string& warning : loaded.warnings) {
    if (warning.find(text) != std::string::npos) return true;
  }
  return false;
}
}  // namespace

TEST_CASE("A TorchDiTan config loads with warnings only", "[config]") {
  const auto loaded = load(kTorchDiTan);
  const titan::JobConfig& config = loaded->config;
  CHECK(config.model.name == "dit");
  CHECK(config.model.flavor == "DiT-L");
  CHECK(config.model.args.count("patch_size") == 1);
  CHECK(config.model.args.count("in_channels") == 1);
  CHECK(config.model.args.count("norm_type") == 1);
  CHECK(config.training.dataset == "latents");
  CHECK(config.training.dataset_path == "/data/imagenet");
  CHECK(config.training.batch_size == 16);
  CHECK(config.dataset.num_workers == 1);
  CHECK(config.dataset.image_size == std::vector<int64_t>{32, 32});
  CHECK(config.sampling.enable);
  CHECK(config.sampling.freq == 100);
  CHECK(config.lr_scheduler.warmup_steps == 100);
  CHECK(config.parallelism.data_parallel_shard_degree == 2);
  CHECK(config.optimizer.implementation == "fused");
  CHECK_FALSE(config.metrics.disable_color_printing);
  CHECK(warned(*loaded, "dataset.dataset_name: imagenet taken as training.dataset = latents"));
  CHECK(warned(*loaded, "dataset.batch_size: ignored, because training.batch_size is given too"));
  CHECK(config.activation_checkpoint.mode == "selective");
  CHECK(warned(*loaded, "autotune.batch_size_multiple: has no meaning here; ignored"));
  std::set<std::string> different(loaded->warnings.begin(), loaded->warnings.end());
  CHECK(different.size() == loaded->warnings.size());
}

TEST_CASE("torchtitan's Flux debug config loads with warnings only", "[config]") {
  const auto loaded = load(kFluxDebug);
  CHECK(loaded->config.training.class_dropout_prob == 0.1);
  CHECK(loaded->config.training.dataset == "cc12m-test");
  CHECK(loaded->config.lr_scheduler.decay_ratio == 0.0);
  CHECK(loaded->config.encoder.context_in_dim == 4096);
  CHECK(loaded->config.encoder.clip_encoder == "/models/clip");
  CHECK(loaded->config.eval.dataset == "coco");
  CHECK(loaded->config.eval.eval_freq == 20);
  CHECK(loaded->config.sampling.steps == 4);
  CHECK(loaded->config.sampling.guidance == std::vector<double>{5.0});
  CHECK(warned(*loaded, "eval.denoising_steps: taken as sampling.steps"));
  CHECK(warned(*loaded, "eval.classifer_free_guidance_scale: taken as sampling.guidance"));
  CHECK_FALSE(warned(*loaded, "eval.save_img_folder"));
  CHECK(warned(*loaded,
               "training.classifer_free_guidance_prob: taken as training.class_dropout_prob"));
}

TEST_CASE("Foreign options work on the command line, one warning a key", "[config]") {
  const auto loaded = load(
      "[training]\ngc_debug = false\nbatch_size = 2\n",
      {"--training.gc_debug", "--training.no-gc_debug", "--dataset.batch_size", "4",
       "--metrics.enable-sampling", "--metrics.no_enable_color_printing", "--model.patch_size=8"});
  CHECK(loaded->config.training.batch_size == 4);
  CHECK(loaded->config.sampling.enable);
  CHECK(loaded->config.metrics.disable_color_printing);
  CHECK(loaded->config.model.args.count("patch_size") == 1);
  CHECK(loaded->warnings.size() == 5);
}

TEST_CASE("Guidance switched off in torchtitan's words is a scale of 1", "[config]") {
  CHECK(load("[eval]\nclassifier_free_guidance_scale = 5.0\n"
             "enable_classifier_free_guidance = false\n")
            ->config.sampling.guidance == std::vector<double>{1.0});
  CHECK(
      load("", {"--eval.enable_classifer_free_guidance", "--eval.classifer_free_guidance_scale=4"})
          ->config.sampling.guidance == std::vector<double>{4.0});
}

TEST_CASE("Guidance that is switched off stays off until it is switched on", "[config]") {
  const std::string off = "[eval]\nenable_classifer_free_guidance = false\n";
  const std::string scale = "classifer_free_guidance_scale = 5.0\n";
  const auto guidance = [](const std::string& toml, const std::vector<std::string>& args) {
    return load(toml, args)->config.sampling.guidance;
  };
  using Scales = std::vector<double>;
  CHECK(guidance(off + scale, {}) == Scales{1});
  CHECK(guidance("[eval]\n" + scale + "enable_classifier_free_guidance = false\n", {}) ==
        Scales{1});
  CHECK(guidance("", {"--eval.enable_classifer_free_guidance=false",
                      "--eval.classifer_free_guidance_scale=4"}) == Scales{1});
  CHECK(guidance("", {"--eval.no-enable_classifier_free_guidance",
                      "--eval.classifer_free_guidance_scale=4"}) == Scales{1});
  CHECK(guidance(off, {"--eval.classifer_free_guidance_scale=4"}) == Scales{1});
  CHECK(guidance(off + scale, {"--eval.enable_classifer_free_guidance"}) == Scales{5});
  CHECK(guidance(off + scale, {"--sampling.guidance=3"}) == Scales{3});
  CHECK(guidance(off + scale + "[sampling]\nguidance = [1, 2]\n", {}) == Scales{1, 2});
  CHECK(guidance("[sampling]\nguidance = 3\n", {"--eval.no-enable_classifer_free_guidance"}) ==
        Scales{1});
}

TEST_CASE("dataset.batch_size = -1 leaves training.batch_size", "[config]") {
  CHECK(load("[dataset]\nbatch_size = -1\n")->config.training.batch_size == 8);
  CHECK(load("[dataset]\nbatch_size = 3\n")->config.training.batch_size == 3);
}

TEST_CASE("A bad value of a foreign key is reported under the name it was given", "[config]") {
  const TemporaryFolder scratch;
  const auto loaded =
      load_config({"--config=" + scratch.write("a.toml", "[metrics]\nsample_freq = 0\n")});
  REQUIRE_FALSE(loaded.ok());
  CHECK(titan::message_of(loaded.status()).find("metrics.sample_freq: must be at least 1") !=
        std::string::npos);
}

TEST_CASE("Every alias leads to a field and hides none; no inert key is a field", "[config]") {
  titan::JobConfig config;
  const titan::config::FieldTable table = titan::config::bind_fields(config);
  for (const titan::config::Alias& alias : titan::config::aliases()) {
    INFO(alias.from);
    CHECK((titan::config::is_model_arg(alias.to) || table.count(alias.to) == 1));
    CHECK((alias.from == alias.to || table.count(alias.from) == 0));
    CHECK_FALSE(titan::config::is_inert(alias.from) != (alias.from.rfind("experimental.", 0) == 0));
  }
  for (const auto& [key, binding] : table) {
    INFO(key);
    CHECK_FALSE(titan::config::is_inert(key));
  }
}

TEST_CASE("Every key of torchtitan's table is a field, an alias or inert", "[config]") {
  titan::JobConfig config;
  const titan::config::FieldTable table = titan::config::bind_fields(config);
  for (const char* key : {"job.config_file",
                          "job.dump_folder",
                          "job.description",
                          "job.use_for_integration_test",
                          "job.print_args",
                          "profiling.enable_profiling",
                          "profiling.save_traces_folder",
                          "profiling.profile_freq",
                          "profiling.enable_memory_snapshot",
                          "profiling.save_memory_snapshot_folder",
                          "metrics.log_freq",
                          "metrics.enable_tensorboard",
                          "metrics.disable_color_printing",
                          "metrics.save_tb_folder",
                          "metrics.save_for_all_ranks",
                          "metrics.enable_wandb",
                          "metrics.log_to_console",
                          "metrics.mlperf_logging",
                          "model.name",
                          "model.flavor",
                          "model.tokenizer_path",
                          "model.converters",
                          "model.print_after_conversion",
                          "optimizer.name",
                          "optimizer.lr",
                          "optimizer.eps",
                          "optimizer.implementation",
                          "optimizer.early_step_in_backward",
                          "lr_scheduler.warmup_steps",
                          "lr_scheduler.decay_ratio",
                          "lr_scheduler.decay_type",
                          "lr_scheduler.lr_min",
                          "training.dataset",
                          "training.dataset_path",
                          "training.batch_size",
                          "training.seq_len",
                          "training.max_norm",
                          "training.steps",
                          "training.enable_cpu_offload",
                          "training.mixed_precision_param",
                          "training.mixed_precision_reduce",
                          "training.compile",
                          "training.gc_freq",
                          "training.gc_debug",
                          "training.seed",
                          "training.deterministic",
                          "training.subset_size",
                          "training.classifer_free_guidance_prob",
                          "training.img_size",
                          "training.test_mode",
                          "parallelism.data_parallel_replicate_degree",
                          "parallelism.enable_compiled_autograd",
                          "parallelism.data_parallel_shard_degree",
                          "parallelism.fsdp_reshard_after_forward",
                          "parallelism.tensor_parallel_degree",
                          "parallelism.disable_loss_parallel",
                          "parallelism.enable_async_tensor_parallel",
                          "parallelism.pipeline_parallel_degree",
                          "parallelism.pipeline_parallel_split_points",
                          "parallelism.pipeline_parallel_layers_per_stage",
                          "parallelism.pipeline_parallel_schedule",
                          "parallelism.pipeline_parallel_schedule_csv",
                          "parallelism.pipeline_parallel_microbatch_size",
                          "parallelism.context_parallel_degree",
                          "parallelism.context_parallel_rotate_method",
                          "checkpoint.enable_checkpoint",
                          "checkpoint.folder",
                          "checkpoint.interval",
                          "checkpoint.model_weights_only",
                          "checkpoint.export_dtype",
                          "checkpoint.create_seed_checkpoint",
                          "checkpoint.async_mode",
                          "checkpoint.keep_latest_k",
                          "checkpoint.load_step",
                          "checkpoint.exclude_from_loading",
                          "activation_checkpoint.mode",
                          "activation_checkpoint.selective_ac_option",
                          "float8.enable_fsdp_float8_all_gather",
                          "float8.precompute_float8_dynamic_scale_for_fsdp",
                          "float8.force_recompute_fp8_weight_in_bwd",
                          "float8.recipe_name",
                          "float8.filter_fqns",
                          "float8.emulate",
                          "mx.use_fp8_dim1_cast_triton_kernel",
                          "mx.recipe_name",
                          "mx.filter_fqns",
                          "comm.init_timeout_seconds",
                          "comm.train_timeout_seconds",
                          "comm.trace_buf_size",
                          "memory_estimation.enabled",
                          "memory_estimation.disable_fake_mode",
                          "fault_tolerance.enable",
                          "fault_tolerance.replica_id",
                          "fault_tolerance.group_size",
                          "fault_tolerance.min_replica_size",
                          "fault_tolerance.semi_sync_method",
                          "fault_tolerance.sync_steps",
                          "experimental.custom_import",
                          "experimental.custom_args_module",
                          "encoder.t5_encoder",
                          "encoder.clip_encoder",
                          "encoder.autoencoder_path",
                          "encoder.autoencoder_shift",
                          "encoder.autoencoder_scale",
                          "encoder.max_t5_encoding_len",
                          "encoder.context_in_dim",
                          "encoder.empty_encodings_path",
                          "eval.enable_classifer_free_guidance",
                          "eval.classifier_free_guidance_scale",
                          "eval.denoising_steps",
                          "eval.eval_freq",
                          "eval.save_img_folder",
                          "eval.inception_ckpt",
                          "eval.clip_ckpt",
                          "eval.coco_stats",
                          "eval.dataset",
                          "eval.dataset_path",
                          "eval.batch_size",
                          "eval.prompts_csv",
                          "eval.num_prompts",
                          "eval.target_eval_loss",
                          "inference.save_path",
                          "inference.prompts_path",
                          "inference.batch_size",
                          "preprocessing.output_dataset_path"}) {
    INFO(key);
    CHECK((table.count(key) == 1 || titan::config::find_alias(key) != nullptr ||
           titan::config::is_inert(key)));
  }
}
