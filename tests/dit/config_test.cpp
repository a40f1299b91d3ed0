#include "tests/support/catch.h"

#include "titan/models/dit/config.h"

#include "titan/models/dit/flops.h"

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

}  // namespace
}  // namespace titan
