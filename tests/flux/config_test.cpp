#include "tests/support/catch.h"

#include "titan/models/flux/config.h"

#include "titan/models/flux/flops.h"
#include "titan/models/flux/spec.h"

namespace titan {
namespace {

models::FluxConfig flavor(const char* name) {
  StatusOr<models::FluxConfig> config = models::flux_flavor(name);
  REQUIRE(config.ok());
  return *config;
}

TEST_CASE("a Flux flavor has two spellings and an unknown one lists the known", "[flux]") {
  REQUIRE(flavor("dev").guidance_embed);
  REQUIRE(flavor("flux-dev").guidance_embed);
  REQUIRE_FALSE(flavor("flux-schnell").guidance_embed);
  REQUIRE(flavor("flux-debug").depth == 2);
  REQUIRE_THAT(message_of(models::flux_flavor("flux-pro").status()),
               Catch::Contains("pro") && Catch::Contains("flux-schnell, flux-dev, flux-debug"));
}

TEST_CASE("Flux parameter counts are those of the published checkpoints", "[flux]") {
  REQUIRE(models::parameter_count(flavor("flux-schnell")).numbers == 11'891'178'560);
  REQUIRE(models::parameter_count(flavor("flux-schnell")).tensors == 776);
  REQUIRE(models::parameter_count(flavor("flux-dev")).numbers == 11'901'408'320);
  REQUIRE(models::parameter_count(flavor("flux-dev")).tensors == 780);
  REQUIRE(models::parameter_count(flavor("flux-debug")).numbers == 1'005'731'392);
  REQUIRE(models::parameter_count(flavor("flux-debug")).tensors == 80);
  models::FluxConfig debug = flavor("flux-debug");
  debug.context_in_dim = 4096;
  REQUIRE(models::parameter_count(debug).numbers == 1'016'741'440);
  debug.context_in_dim = 1024;
  REQUIRE(models::parameter_count(debug).numbers == 1'007'304'256);
}

TEST_CASE("Flux FLOPs are those of the benchmark", "[flux]") {
  const models::FluxConfig schnell = flavor("flux-schnell");
  REQUIRE(3 * models::flux_flops(schnell, 256, 256).forward() == 20'420'235'362'304);
  REQUIRE(3 * models::flux_flops(schnell, 1024, 512).forward() == 64'507'739'111'424);
  REQUIRE(3 * models::flux_flops(schnell, 4096, 512).forward() == 223'153'898'913'792);
  models::FluxConfig debug = flavor("flux-debug");
  REQUIRE(3 * models::flux_flops(debug, 256, 256).forward() == 1'435'188'068'352);
  debug.context_in_dim = 4096;
  REQUIRE(3 * models::flux_flops(debug, 256, 256).forward() == 1'452'099'502'080);
}

TEST_CASE("validate names every broken rule of a Flux config at once", "[flux]") {
  REQUIRE(models::validate(flavor("flux-schnell")).ok());
  models::FluxConfig config = flavor("flux-schnell");
  config.num_heads = 25;
  config.axes_dim = {16, 55, 56};
  config.in_channels = 63;
  REQUIRE_THAT(message_of(models::validate(config)), Catch::Contains("num_heads=25") &&
                                                         Catch::Contains("even and positive") &&
                                                         Catch::Contains("in_channels=63"));
  config = flavor("flux-schnell");
  config.axes_dim = {16, 56};
  REQUIRE_THAT(message_of(models::validate(config)),
               Catch::Contains("3 entries") && Catch::Contains("sum=72"));
}

DataShape latents() { return {.image = {4, 8, 12}, .num_classes = 0}; }

ArgValue integer(int64_t value) {
  return {.items = {value}, .is_list = false, .place = "test.toml:3"};
}

JobConfig small_job() {
  JobConfig job;
  job.model.flavor = "flux-debug";
  job.model.args["in_channels"] = integer(16);
  job.model.args["hidden_size"] = integer(64);
  job.model.args["num_heads"] = integer(2);
  job.model.args["context_in_dim"] = integer(24);
  job.model.args["axes_dim"] = {
      .items = {int64_t{8}, int64_t{12}, int64_t{12}}, .is_list = true, .place = "test.toml:4"};
  job.model.args["mlp_ratio"] = {
      .items = {RawText{"2.5"}}, .is_list = false, .place = "--model.args.mlp_ratio"};
  return job;
}

TEST_CASE("the registered Flux takes flavor, args and data", "[flux]") {
  clear_models();
  REQUIRE(models::register_flux().ok());
  StatusOr<const ModelSpec*> spec = find_model("flux");
  REQUIRE(spec.ok());
  const StatusOr<models::FluxConfig> config = models::resolve_flux_config(small_job(), latents());
  INFO(message_of(config.status()));
  REQUIRE(config.ok());
  REQUIRE(config->depth == 2);
  REQUIRE(config->mlp_hidden() == 160);
  StatusOr<std::shared_ptr<Model>> model = (*spec)->build(small_job(), latents(), at::kCPU);
  REQUIRE(model.ok());
  int64_t count = 0;
  for (const at::Tensor& parameter : (*model)->parameters()) count += parameter.numel();
  REQUIRE(count == models::parameter_count(*config).numbers);
  REQUIRE((*spec)->flops(small_job(), latents())->train ==
          3 * (*spec)->flops(small_job(), latents())->forward);
  clear_models();
}

TEST_CASE("the encodings' widths are the encoder's where the model's args do not say", "[flux]") {
  JobConfig job = small_job();
  job.encoder.context_in_dim = 40;
  job.encoder.vec_in_dim = 10;
  REQUIRE(models::resolve_flux_config(job, latents())->context_in_dim == 24);
  REQUIRE(models::resolve_flux_config(job, latents())->vec_in_dim == 10);
  job.model.args.erase("context_in_dim");
  DataShape data = latents();
  data.fields["t5_encodings"] = {7, 40};
  REQUIRE(models::resolve_flux_config(job, data)->context_in_dim == 40);
}

TEST_CASE("Flux settings that do not fit the data are refused by name", "[flux]") {
  const auto refusal = [](const JobConfig& job, const DataShape& data) {
    return message_of(models::resolve_flux_config(job, data).status());
  };
  DataShape data = latents();
  data.image = {3, 8, 12};
  REQUIRE_THAT(refusal(small_job(), data),
               Catch::Contains("in_channels=16") && Catch::Contains("channels=3"));
  data.image = {4, 7, 12};
  REQUIRE_THAT(refusal(small_job(), data), Catch::Contains("7x12"));
  data.image = {4, 2, 8, 12};
  REQUIRE_THAT(refusal(small_job(), data), Catch::Contains("4 dimensions"));
  data = latents();
  data.fields["t5_encodings"] = {5, 32};
  REQUIRE_THAT(refusal(small_job(), data), Catch::Contains("t5_encodings") &&
                                               Catch::Contains("context_in_dim=24") &&
                                               Catch::Contains("data=32"));
  JobConfig job = small_job();
  job.model.args["out_channels"] = integer(32);
  REQUIRE_THAT(refusal(job, latents()), Catch::Contains("out_channels=32"));
  job = small_job();
  job.model.args["num_hads"] = integer(2);
  REQUIRE_THAT(refusal(job, latents()),
               Catch::Contains("num_hads") && Catch::Contains("num_heads"));
}

}  // namespace
}  // namespace titan
