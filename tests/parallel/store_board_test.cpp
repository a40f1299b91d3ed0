#include "tests/support/catch.h"

#include "titan/parallel/store_board.h"

#include <chrono>

#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include "titan/parallel/failure_watch.h"

using namespace std::chrono_literals;

TEST_CASE("Beats go through the store, each rank's last one", "[parallel]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  const auto first = titan::parallel::open_store_board(store, 0, 3, /*serves=*/true);
  const auto last = titan::parallel::open_store_board(store, 2, 3, /*serves=*/false);
  REQUIRE((first->read() == std::vector<std::optional<std::string>>(3)));
  first->publish("a");
  last->publish("b");
  last->publish("c");
  REQUIRE((first->read() == std::vector<std::optional<std::string>>{"a", std::nullopt, "c"}));
}

TEST_CASE("Ending the job does not wait for ranks that are deaf", "[parallel]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  const auto board = titan::parallel::open_store_board(store, 0, 2, /*serves=*/true);
  const auto began = std::chrono::steady_clock::now();
  board->end_job("[stall] rank 1 ...", {1});
  REQUIRE(std::chrono::steady_clock::now() - began < 1s);
  const auto failure = titan::parallel::read_failure(*store);
  REQUIRE(failure);
  CHECK(failure->exit_code == 1);
  CHECK(failure->text() == "[stall] rank 1 ...");
}
