#include "tests/support/catch.h"

#include "titan/models/objectives/registry.h"

#include "titan/models/samplers/ddim.h"
#include "titan/models/samplers/euler.h"
#include "titan/models/samplers/registry.h"

#include "tests/models/example_batch.h"

namespace {
const titan::DataShape kShape{.image = {2, 3, 5}, .num_classes = 10};
}

TEST_CASE("the config chooses objective and sampler together", "[models]") {
  titan::JobConfig config;
  REQUIRE(dynamic_cast<titan::objectives::RectifiedFlow*>(
              titan::make_objective(config, kShape, 1)->get()) != nullptr);
  REQUIRE(dynamic_cast<titan::samplers::EulerSampler*>(titan::make_sampler(config)->get()) !=
          nullptr);
  config.objective.name = "ddpm";
  REQUIRE(dynamic_cast<titan::objectives::Ddpm*>(titan::make_objective(config, kShape, 1)->get()) !=
          nullptr);
  REQUIRE(dynamic_cast<titan::samplers::DdimSampler*>(titan::make_sampler(config)->get()) !=
          nullptr);
}

TEST_CASE("the null class is the number of classes and dropout is training.class_dropout_prob",
          "[models]") {
  titan::JobConfig config;
  config.training.class_dropout_prob = 1;
  for (const char* name : {"rectified_flow", "ddpm"}) {
    config.objective.name = name;
    const auto objective = titan::make_objective(config, kShape, 1);
    REQUIRE((*objective)
                ->prepare(titan::testing::example_batch(3))
                .condition.get("label")
                .eq(10)
                .all()
                .item<bool>());
  }
}

TEST_CASE("settings that no objective has are refused by name", "[models]") {
  const auto message = [](auto change) {
    titan::JobConfig config;
    change(config.objective);
    const auto objective = titan::make_objective(config, kShape, 1);
    REQUIRE_FALSE(objective.ok());
    REQUIRE_FALSE(titan::make_sampler(config).ok());
    return titan::message_of(objective.status());
  };
  using titan::ObjectiveSection;
  REQUIRE_THAT(message([](ObjectiveSection& o) { o.name = "gan"; }),
               Catch::Matchers::Contains("rectified_flow, ddpm (gan)"));
  REQUIRE_THAT(message([](ObjectiveSection& o) { o.timestep_sampler = "cubic"; }),
               Catch::Matchers::Contains("cosmap, logit_normal"));
  REQUIRE_THAT(message([](ObjectiveSection& o) {
                 o.timestep_sampler = "mode";
                 o.mode_scale = 2;
               }),
               Catch::Matchers::Contains("mode_scale"));
  REQUIRE_THAT(message([](ObjectiveSection& o) {
                 o.name = "ddpm";
                 o.prediction = "x";
               }),
               Catch::Matchers::Contains("epsilon, v (x)"));
}
