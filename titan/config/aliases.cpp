#include "titan/config/aliases.h"

#include "titan/config/value.h"

namespace titan::config {

const std::vector<Alias>& aliases() {
  static const std::vector<Alias> kAliases = {
      // TorchDiTan
      {"dataset.dataset_name",
       "training.dataset",
       {{"imagenet", "latents"},
        {"imagenet_pixel", "class_folder"},
        {"imagenet_dummy", "synthetic"}}},
      {"dataset.root_dir", "training.dataset_path"},
      {"dataset.batch_size", "training.batch_size", {{"-1", ""}}},
      {"dataset.num_workers", "dataset.num_workers", {{"0", "1"}}},
      {"model.name", "model.name", {{"llama3_diffusion", "dit"}}},
      {"model.patch_size", "model.args.patch_size"},
      {"model.input_channels", "model.args.in_channels"},
      {"model.norm_type", "model.args.norm_type"},
      {"model.condition_mode", "model.args.condition_mode"},
      {"metrics.enable_sampling", "sampling.enable"},
      {"metrics.sample_freq", "sampling.freq"},
      // torchtitan's Flux
      {"training.classifer_free_guidance_prob", "training.class_dropout_prob"},
      {"training.classifier_free_guidance_prob", "training.class_dropout_prob"},
      {"eval.enable_classifer_free_guidance",
       "sampling.guidance",
       {{"true", ""}, {"false", "1"}},
       /*is_switch=*/true},
      {"eval.enable_classifier_free_guidance",
       "sampling.guidance",
       {{"true", ""}, {"false", "1"}},
       /*is_switch=*/true},
      {"eval.classifer_free_guidance_scale", "sampling.guidance"},
      {"eval.classifier_free_guidance_scale", "sampling.guidance"},
      {"eval.denoising_steps", "sampling.steps"},
      {"validation.dataset", "eval.dataset"},
      {"validation.dataset_path", "eval.dataset_path"},
      {"validation.local_batch_size", "eval.batch_size"},
      // torchtitan, older names
      {"training.warmup_steps", "lr_scheduler.warmup_steps"},
      {"training.data_parallel_degree", "parallelism.data_parallel_shard_degree"},
      {"training.data_parallel_replicate_degree", "parallelism.data_parallel_replicate_degree"},
      {"training.data_parallel_shard_degree", "parallelism.data_parallel_shard_degree"},
      {"training.tensor_parallel_degree", "parallelism.tensor_parallel_degree"},
      {"training.context_parallel_degree", "parallelism.context_parallel_degree"},
      {"training.pipeline_parallel_degree", "parallelism.pipeline_parallel_degree"},
      {"experimental.context_parallel_degree", "parallelism.context_parallel_degree"},
      {"experimental.pipeline_parallel_degree", "parallelism.pipeline_parallel_degree"},
      {"training.fsdp_reshard_after_forward", "parallelism.fsdp_reshard_after_forward"},
      {"checkpoint.async_mode", "checkpoint.async_mode", {{"async_with_pinned_mem", "async"}}},
      {"optimizer.fused", "optimizer.implementation", {{"true", "fused"}, {"false", "foreach"}}},
      {"metrics.enable_color_printing",
       "metrics.disable_color_printing",
       {{"true", "false"}, {"false", "true"}}},
      {"metrics.rank_0_only", "metrics.save_for_all_ranks", {{"true", "false"}, {"false", "true"}}},
      // torchtitan, newer names
      {"training.local_batch_size", "training.batch_size"},
      {"training.global_batch_size", "training.global_batch_size", {{"-1", "0"}}},
      {"checkpoint.enable", "checkpoint.enable_checkpoint"},
      {"checkpoint.initial_load_model_only", "checkpoint.initial_load_model_weights_only"},
      {"checkpoint.last_save_model_only", "checkpoint.model_weights_only"},
      {"checkpoint.last_save_model_weights_only", "checkpoint.model_weights_only"},
      {"lr_scheduler.min_lr_factor", "lr_scheduler.lr_min"},
      {"debug.seed", "training.seed"},
      {"debug.deterministic", "training.deterministic"},
  };
  return kAliases;
}

const std::vector<InertKeys>& inert_keys() {
  static const std::vector<InertKeys> kInert = {
      {"job", {"use_for_integration_test"}},
      {"metrics", {"experiment_name", "sample_batch_size"}},
      {"model", {"tokenizer_path", "hf_assets_path"}},
      {"optimizer", {"early_step_in_backward"}},
      {"training",
       {"seq_len", "gc_freq", "gc_debug", "test_mode", "data_parallel_type", "enable_fp8_linear",
        "enable_float8_linear", "enable_loss_parallel", "disable_loss_parallel",
        "enable_async_tensor_parallel", "enable_compiled_autograd"}},
      {"parallelism",
       {"enable_compiled_autograd", "disable_loss_parallel", "enable_async_tensor_parallel",
        "pipeline_parallel_split_points", "pipeline_parallel_layers_per_stage",
        "pipeline_parallel_schedule", "pipeline_parallel_schedule_csv",
        "pipeline_parallel_microbatch_size", "context_parallel_rotate_method"}},
      {"checkpoint", {"create_seed_checkpoint", "interval_type", "initial_load_in_hf"}},
      {"activation_checkpoint", {"per_op_sac_force_recompute_mm_shapes_by_fqns", "early_stop"}},
      {"float8",
       {"enable_float8_linear", "enable_fsdp_float8_all_gather",
        "precompute_float8_dynamic_scale_for_fsdp", "force_recompute_fp8_weight_in_bwd",
        "scaling_type_input", "scaling_type_weight", "scaling_type_grad_output"}},
      {"mx", {"use_fp8_dim1_cast_triton_kernel", "recipe_name", "filter_fqns"}},
      {"comm", {"trace_buf_size", "save_traces_folder"}},
      {"memory_estimation", {"enabled", "disable_fake_mode"}},
      {"fault_tolerance",
       {"enable", "replica_id", "group_size", "min_replica_size", "semi_sync_method",
        "sync_steps"}},
      {"experimental", {"*"}},
      {"autotune", {"*"}},
      {"eval", {"inception_ckpt", "clip_ckpt", "coco_stats", "prompts_csv", "num_prompts"}},
      {"validation", {"enable", "freq", "steps", "seq_len"}},
  };
  return kInert;
}

bool is_inert(const std::string& key) {
  const std::size_t dot = key.find('.');
  if (dot == std::string::npos) return false;
  for (const InertKeys& inert : inert_keys()) {
    if (key.compare(0, dot, inert.section) != 0) continue;
    for (const std::string& name : inert.keys) {
      if (name == "*" || key.compare(dot + 1, std::string::npos, name) == 0) return true;
    }
  }
  return false;
}

const Alias* find_alias(const std::string& key) {
  for (const Alias& alias : aliases()) {
    if (alias.from == key) return &alias;
  }
  return nullptr;
}

namespace {

/// The text that an alias' value table is compared with; no table has lists.
std::string plain_text(const ArgValue& value) {
  std::string text;
  if (value.is_list || value.items.size() != 1) return "";
  return convert(value.items.front(), text).empty() ? text : written(value);
}

Translation translate_alias(const Alias& alias, Setting& setting) {
  const std::string before = plain_text(setting.value);
  Translation result;
  if (alias.from != alias.to) result.warning = "taken as " + alias.to;
  for (const auto& [foreign, ours] : alias.values) {
    if (before != foreign) continue;
    result.keep = !ours.empty();
    result.warning = result.keep ? before + " taken as " + alias.to + " = " + ours
                                 : before + " leaves " + alias.to + " as it is";
    setting.value.items = {RawText{ours}};
  }
  setting.key = alias.to;
  return result;
}

}  // namespace

Translation translate(Setting& setting) {
  if (const Alias* alias = find_alias(setting.key)) return translate_alias(*alias, setting);
  if (is_inert(setting.key)) return {false, "has no meaning here; ignored"};
  return {};
}

}  // namespace titan::config
