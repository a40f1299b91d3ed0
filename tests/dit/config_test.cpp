#include "tests/support/catch.h"

#include "titan/models/dit/config.h"

#include "titan/models/dit/flops.h"
#include "titan/models/dit/spec.h"

namespace titan {
namespace {

models::DitConfig small() {
  models::DitConfig config = *models::dit_flavor("debugmodel");
  config.in_channels = 16;
  config.num_classes = 1000;
  return config;
}

TEST_CASE("a DiT flavor has two spellings and an unknown one lists the known", "[dit]") {
  REQUIRE(models::dit_flavor("S")->dim == 384);
  REQUIRE(models::dit_flavor("DiT-S")->dim == 384);
  REQUIRE(models::dit_flavor("0.5B")->n_layers == models::dit_flavor("DiT-L")->n_layers);
  const std::string message = message_of(models::dit_flavor("XXL").status());
  REQUIRE_THAT(message,
               Catch::Contains("XXL") && Catch::Contains("debugmodel, S, B, L, 0.5B, XL, 1B, 7B"));
}

TEST_CASE("DiT parameter counts are those of the published flavors", "[dit]") {
  REQUIRE(models::parameter_count(small()) == 10399040);
  models::DitConfig config = small();
  config.patch_size = 8;
  REQUIRE(models::parameter_count(config) == 10891520);
  config = small();
  config.condition_mode = "context";
  REQUIRE(models::parameter_count(config) == 7241024);
}

TEST_CASE("validate names every broken rule at once", "[dit]") {
  REQUIRE(models::validate(small(), 32, 16).ok());
  models::DitConfig config = small();
  config.n_heads = 7;
  config.n_kv_heads = 3;
  config.in_channels = 0;
  const std::string message = message_of(models::validate(config, 31, 32));
  REQUIRE_THAT(message, Catch::Contains("n_heads=7") && Catch::Contains("n_kv_heads=3") &&
                            Catch::Contains("in_channels") && Catch::Contains("image=31x32"));
}

TEST_CASE("DiT FLOPs do not count per-sample weights per token", "[dit]") {
  const models::DitFlops small_image = models::dit_flops(small(), 32, 32);
  const models::DitFlops large_image = models::dit_flops(small(), 64, 64);
  REQUIRE(small_image.adaln == large_image.adaln);
  REQUIRE(large_image.block_linears == 4 * small_image.block_linears);
  REQUIRE(large_image.attention == 16 * small_image.attention);
  REQUIRE(models::model_flops(small_image).train == 3 * small_image.forward());
}

DataShape latents() { return {.image = {4, 8, 12}, .num_classes = 10}; }

TEST_CASE("the registered DiT takes flavor, args and data", "[dit]") {
  clear_models();
  REQUIRE(models::register_dit().ok());
  StatusOr<const ModelSpec*> spec = find_model("dit");
  REQUIRE(spec.ok());
  JobConfig job;
  job.model.flavor = "debugmodel";
  job.model.args["n_layers"] = {.items = {int64_t{2}}, .is_list = false, .place = "test.toml:3"};
  job.model.args["norm_type"] = {
      .items = {RawText{"layernorm"}}, .is_list = false, .place = "--model.args.norm_type"};
  StatusOr<models::DitConfig> config = models::resolve_dit_config(job, latents());
  REQUIRE(config.ok());
  REQUIRE(config->n_layers == 2);
  REQUIRE(config->dim == 256);
  REQUIRE(config->norm_type == "layernorm");
  REQUIRE(config->in_channels == 4);
  REQUIRE(config->num_classes == 10);
  StatusOr<std::shared_ptr<Model>> model = (*spec)->build(job, latents(), at::kCPU);
  REQUIRE(model.ok());
  int64_t count = 0;
  for (const at::Tensor& parameter : (*model)->parameters()) count += parameter.numel();
  REQUIRE(count == models::parameter_count(*config));
  REQUIRE((*spec)->flops(job, latents())->forward == models::dit_flops(*config, 8, 12).forward());
  clear_models();
}

TEST_CASE("settings that do not fit the data or each other are refused by name", "[dit]") {
  JobConfig job;
  job.model.args["in_channels"] = {.items = {int64_t{3}}, .is_list = false, .place = "test.toml:3"};
  REQUIRE_THAT(message_of(models::resolve_dit_config(job, latents()).status()),
               Catch::Contains("in_channels=3"));
  job.model.args = {
      {"num_classes", {.items = {int64_t{9}}, .is_list = false, .place = "test.toml:5"}}};
  REQUIRE_THAT(message_of(models::resolve_dit_config(job, latents()).status()),
               Catch::Contains("model.args.num_classes=9") && Catch::Contains("10 classes"));
  job.model.args["num_classes"].items = {int64_t{11}};
  REQUIRE(models::resolve_dit_config(job, latents()).ok());
  job.model.args = {{"n_layer", {.items = {int64_t{3}}, .is_list = false, .place = "test.toml:4"}}};
  REQUIRE_THAT(message_of(models::resolve_dit_config(job, latents()).status()),
               Catch::Contains("n_layers") && Catch::Contains("test.toml:4"));
  job.model.args.clear();
  REQUIRE_THAT(
      message_of(models::resolve_dit_config(job, {.image = {4, 7, 8}, .num_classes = 10}).status()),
      Catch::Contains("image=7x8"));
  REQUIRE_THAT(
      message_of(models::resolve_dit_config(job, {.image = {4, 8, 8}, .num_classes = 0}).status()),
      Catch::Contains("num_classes"));
}

}  // namespace
}  // namespace titan
