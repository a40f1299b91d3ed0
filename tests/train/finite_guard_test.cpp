#include "tests/support/catch.h"

#include "titan/train/finite_guard.h"

#include <cmath>

#include <torch/types.h>

#include "tests/support/ranks.h"

namespace titan {
namespace {

std::string name_of(int64_t id) { return str_cat("data:", id); }

TrainingSection policy(const char* on_nonfinite, int64_t in_a_row = 10) {
  TrainingSection section;
  section.on_nonfinite = on_nonfinite;
  section.max_nonfinite_steps = in_a_row;
  return section;
}

/// One step whose samples first, first + 1, ... have these losses; returns whether it is skipped.
bool step(FiniteGuard& guard, int64_t n, int64_t first, const std::vector<float>& losses,
          float norm) {
  const auto count = static_cast<int64_t>(losses.size());
  const at::Tensor skip = FiniteGuard::unusable(torch::tensor(norm));
  guard.note(n, skip, {{torch::arange(first, first + count), torch::tensor(losses)}});
  return skip.item<float>() == 1.0F;
}

TEST_CASE("policy stop names the samples and the step", "[train]") {
  parallel::Communicator alone;
  FiniteGuard guard(policy("stop"), alone, name_of);
  CHECK_FALSE(step(guard, 1, 0, {1, 2}, 3));
  CHECK(guard.check().ok());
  CHECK(step(guard, 2, 40, {1, NAN, 2, INFINITY}, NAN));
  CHECK_FALSE(step(guard, 3, 50, {1, 2}, 3));
  const Status status = guard.check().status();
  CHECK(titan::exit_code_for(status) == 1);
  const std::string message = titan::message_of(status);
  CHECK(message.find("step 2: the loss is not a finite number for sample 41 (data:41), 43 "
                     "(data:43);") != std::string::npos);
  CHECK(message.find("training.on_nonfinite=skip") != std::string::npos);
}

TEST_CASE("policy skip counts steps and ends after too many in a row", "[train]") {
  parallel::Communicator alone;
  FiniteGuard guard(policy("skip", 3), alone, name_of);
  step(guard, 1, 0, {NAN}, NAN);
  step(guard, 2, 1, {NAN}, NAN);
  step(guard, 3, 2, {1}, 1);
  step(guard, 4, 3, {NAN}, NAN);
  const auto found = guard.check();
  REQUIRE(found.ok());
  REQUIRE(found->size() == 3);
  CHECK((*found)[2].step == 4);
  CHECK((*found)[2].cause.find("sample 3 (data:3)") != std::string::npos);
  CHECK(guard.skipped() == 3);
  step(guard, 5, 4, {NAN}, NAN);
  CHECK(guard.check().ok());
  step(guard, 6, 5, {NAN}, NAN);
  const std::string message = titan::message_of(guard.check().status());
  CHECK(message.find("3 steps in a row") != std::string::npos);
  CHECK(message.find("step 6") != std::string::npos);
}

TEST_CASE("a gradient that is not finite alone is told from a loss", "[train]") {
  parallel::Communicator alone;
  FiniteGuard guard(policy("stop"), alone, name_of);
  CHECK(step(guard, 1, 8, {1, 2, 3}, INFINITY));
  const std::string message = titan::message_of(guard.check().status());
  CHECK(message.find("the gradient is not finite though every sample's loss is") !=
        std::string::npos);
  CHECK(message.find("between 8 and 10") != std::string::npos);
}

TEST_CASE("all ranks name the samples of all ranks", "[train]") {
  std::vector<std::string> messages(3);
  testing::run_ranks(3, [&](parallel::Communicator& ranks) {
    FiniteGuard guard(policy("stop"), ranks, name_of);
    const bool mine = ranks.rank() > 0;
    step(guard, 1, 10 * ranks.rank(), {mine ? NAN : 1.0F, 2}, NAN);
    messages[static_cast<std::size_t>(ranks.rank())] = titan::message_of(guard.check().status());
  });
  CHECK(messages[0].find("sample 10 (data:10), 20 (data:20)") != std::string::npos);
  CHECK(messages[1] == messages[0]);
  CHECK(messages[2] == messages[0]);
}

}  // namespace
}  // namespace titan
