#include "titan/checkpoint/compatibility.h"

#include "tests/support/catch.h"

namespace titan::checkpoint {
namespace {

const CheckpointMeta kSaved{
    .step = 100, .fingerprints = {{"model", "dit/S"}, {"seed", "1"}, {"dataset", "cifar10"}}};

}  // namespace

TEST_CASE("An unchanged run may go on", "[checkpoint]") {
  REQUIRE(check_compatible(kSaved, kSaved.fingerprints, {}).ok());
}

TEST_CASE("Changes are refused by name, all at once, with the way out", "[checkpoint]") {
  const Status status = check_compatible(
      kSaved, {{"model", "dit/L"}, {"seed", "2"}, {"dataset", "cifar10"}}, {"seed"});
  REQUIRE(exit_code_for(status) == 2);
  REQUIRE(message_of(status) ==
          "[checkpoint] this run differs from the one that saved step 100: model was dit/S, is "
          "dit/L. To go on all the "
          "same: --checkpoint.allow_change=model,seed; to start anew: another --job.dump_folder");
  REQUIRE(check_compatible(kSaved, {{"model", "dit/L"}, {"seed", "2"}, {"dataset", "cifar10"}},
                           {"seed", "model"})
              .ok());
}

TEST_CASE("What only one side knows is a change", "[checkpoint]") {
  REQUIRE(message_of(check_compatible(kSaved, {{"model", "dit/S"}, {"seed", "1"}}, {}))
              .find("dataset was cifar10, is unknown") != std::string::npos);
}

TEST_CASE("A name that does not exist cannot be allowed", "[checkpoint]") {
  const Status status = check_compatible(kSaved, kSaved.fingerprints, {"modle"});
  REQUIRE(exit_code_for(status) == 2);
  REQUIRE(message_of(status).find("(modle; known: dataset, model, seed)") != std::string::npos);
}

}  // namespace titan::checkpoint
