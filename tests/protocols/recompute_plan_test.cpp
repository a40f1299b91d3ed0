#include "titan/protocols/recompute_plan.h"

#include "tests/support/catch.h"
#include "titan/config/selective_option.h"

namespace titan {
namespace {

/// "-" everything is kept, "r" recomputed, "k" recomputed with kept operations; one letter a block.
std::string letters(const RecomputePlan& plan) {
  std::string text;
  for (const BlockRecompute& block : plan) {
    const bool keeps = !block.keep.tags.empty() || block.keep.matmul_every > 0;
    text += !block.recompute ? "-" : keeps ? "k" : "r";
  }
  return text;
}
std::string plan_of(const ActivationCheckpointSection& settings, std::size_t num_blocks) {
  const StatusOr<RecomputePlan> plan = recompute_plan(settings, num_blocks);
  return plan.ok() ? letters(*plan) : message_of(plan.status());
}

TEST_CASE("each mode of activation checkpointing becomes a plan", "[protocols]") {
  ActivationCheckpointSection settings;
  REQUIRE(recompute_plan(settings, 5)->empty());
  settings.mode = "full";
  REQUIRE(plan_of(settings, 5) == "rrrrr");
  REQUIRE(recompute_plan(settings, 0)->empty());
  settings.mode = "selective";
  REQUIRE(plan_of(settings, 5) == "-r-r-");  // every second, the default
  settings.selective_ac_option = "1";
  REQUIRE(plan_of(settings, 3) == "rrr");
  settings.selective_ac_option = "3";
  REQUIRE(plan_of(settings, 7) == "--r--r-");
  settings.selective_ac_option = "9";
  REQUIRE(plan_of(settings, 3) == "---");
  settings.selective_ac_option = "op";
  REQUIRE(plan_of(settings, 3) == "kkk");
  const ops::KeepPolicy keep = recompute_plan(settings, 1)->front().keep;
  REQUIRE(keep.tags == std::vector<std::string>{"attention"});
  REQUIRE(keep.matmul_every == 2);
  settings.keep_ops.clear();
  settings.keep_matmul_every = 0;
  REQUIRE(plan_of(settings, 3) == "rrr");  // nothing kept is full
}

TEST_CASE("a fraction of the blocks, counted from the first, follows the mode", "[protocols]") {
  ActivationCheckpointSection settings;
  settings.mode = "full";
  settings.fraction = 0.5;
  REQUIRE(plan_of(settings, 5) == "rr---");
  settings.fraction = 0.0;
  REQUIRE(plan_of(settings, 3) == "---");
  settings.fraction = 0.29;  // 0.29 x 100 is 28.999999999999996
  REQUIRE(plan_of(settings, 100) == std::string(29, 'r') + std::string(71, '-'));
  settings.mode = "selective";
  settings.fraction = 0.8;
  REQUIRE(plan_of(settings, 5) == "-r-r-");
  settings.fraction = 0.7;
  REQUIRE(plan_of(settings, 5) == "-r---");
}

TEST_CASE("settings that make no plan are named", "[protocols]") {
  ActivationCheckpointSection settings;
  settings.mode = "some";
  REQUIRE(plan_of(settings, 2) ==
          "activation_checkpoint.mode: must be none, full or selective (given \"some\")");
  settings.mode = "selective";
  for (const std::string option : {"", "0", "-1", "2.5", "two", "2 ", "99999999999999999999"}) {
    settings.selective_ac_option = option;
    REQUIRE(plan_of(settings, 2) ==
            "activation_checkpoint.selective_ac_option: must be \"op\" or a whole number of at "
            "least 1 (given \"" +
                option + "\")");
  }
  settings = {};
  settings.mode = "full";
  settings.fraction = 1.5;
  REQUIRE(plan_of(settings, 2) ==
          "activation_checkpoint.fraction: must be between 0 and 1 (given 1.5)");
  settings = {};
  settings.mode = "selective";
  settings.selective_ac_option = "op";
  settings.keep_ops = {"attention", "convolution"};
  REQUIRE(plan_of(settings, 2) ==
          "activation_checkpoint.keep_ops: unknown operation (given \"convolution\")");
}

}  // namespace
}  // namespace titan
