#include "titan/train/batch_plan.h"

#include "tests/support/catch.h"

TEST_CASE("the global batch defaults to one micro-batch per rank", "[train]") {
  const auto plan = titan::plan_batches(8, 0, 3);
  REQUIRE(plan.ok());
  REQUIRE(plan->global_batch == 24);
  REQUIRE(plan->accumulation == 1);
}

TEST_CASE("accumulation is the ratio of the global batch to what the ranks hold", "[train]") {
  const auto plan = titan::plan_batches(4, 64, 2);
  REQUIRE(plan.ok());
  REQUIRE(plan->accumulation == 8);
  REQUIRE(plan->micro_batch == 4);
}

TEST_CASE("a global batch that does not divide is refused with the nearest that fit", "[train]") {
  const auto plan = titan::plan_batches(8, 100, 3);
  REQUIRE_FALSE(plan.ok());
  REQUIRE(titan::exit_code_for(plan.status()) == 2);
  REQUIRE(titan::message_of(plan.status()).find("nearest that fit: 96 and 120") !=
          std::string::npos);
  const auto small = titan::plan_batches(8, 5, 1);
  REQUIRE(titan::message_of(small.status()).find("nearest that fit: 8") != std::string::npos);
}

TEST_CASE("a data set, or the part of it that is used, must hold a global batch", "[train]") {
  const titan::BatchPlan batches{.micro_batch = 8, .global_batch = 16, .accumulation = 2};
  REQUIRE(titan::check_enough_samples(16, 0, batches).ok());
  REQUIRE(titan::check_enough_samples(100, 16, batches).ok());
  REQUIRE(titan::check_enough_samples(16, 100, batches).ok());
  const titan::Status few = titan::check_enough_samples(15, 0, batches);
  REQUIRE(titan::exit_code_for(few) == 2);
  REQUIRE(titan::message_of(few).find("samples=15, global batch=16") != std::string::npos);
  const titan::Status subset = titan::check_enough_samples(100, 3, batches);
  REQUIRE(titan::message_of(subset).find("training.subset_size=3") != std::string::npos);
}
