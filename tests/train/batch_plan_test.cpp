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
