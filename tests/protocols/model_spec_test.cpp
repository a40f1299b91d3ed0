#include "titan/protocols/model_spec.h"
#include "tests/support/catch.h"

namespace {
titan::ModelSpec spec_named(const std::string& name) {
  titan::ModelSpec spec;
  spec.name = name;
  spec.build = [](const titan::JobConfig&, const titan::DataShape&,
                  at::Device) -> titan::StatusOr<std::shared_ptr<titan::Model>> {
    return titan::invalid_argument("never built");
  };
  return spec;
}
}  // namespace

TEST_CASE("a registered model is found, an unknown name lists the known ones", "[protocols]") {
  titan::clear_models();
  REQUIRE(titan::register_model(spec_named("unet")).ok());
  REQUIRE(titan::register_model(spec_named("dit")).ok());
  REQUIRE((*titan::find_model("dit"))->name == "dit");
  const auto missing = titan::find_model("dti");
  REQUIRE_FALSE(missing.ok());
  REQUIRE(titan::exit_code_for(missing.status()) == 2);
  REQUIRE(titan::message_of(missing.status()).find("known models: dit, unet") != std::string::npos);
  titan::clear_models();
}

TEST_CASE("a doubled name, no name and no build function are refused", "[protocols]") {
  titan::clear_models();
  REQUIRE(titan::register_model(spec_named("dit")).ok());
  REQUIRE_FALSE(titan::register_model(spec_named("dit")).ok());
  REQUIRE_FALSE(titan::register_model(spec_named("")).ok());
  titan::ModelSpec no_build;
  no_build.name = "empty";
  REQUIRE_FALSE(titan::register_model(no_build).ok());
  titan::clear_models();
}
