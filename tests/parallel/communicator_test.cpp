#include "tests/support/catch.h"

#include "titan/parallel/communicator.h"

#include "titan/base/check.h"
#include "titan/parallel/backend_registry.h"

#include "tests/support/ranks.h"

using titan::parallel::Communicator;
using titan::parallel::Reduction;

TEST_CASE("A group of one changes nothing and needs no backend", "[parallel]") {
  Communicator alone;
  const at::Tensor tensor = torch::arange(4).to(at::kFloat);
  alone.all_reduce_(tensor);
  alone.broadcast_(tensor);
  alone.barrier();
  alone.set_timeout(std::chrono::seconds(1));
  REQUIRE(torch::equal(tensor, torch::arange(4).to(at::kFloat)));
  REQUIRE(alone.all_reduce_values({1.5}, Reduction::kMax) == std::vector<double>{1.5});
  REQUIRE(alone.all_gather_text("x") == std::vector<std::string>{"x"});
  REQUIRE(alone.size() == 1);
}

TEST_CASE("Collectives give every rank the same right result", "[parallel]") {
  const int ranks = GENERATE(2, 3);
  const bool shared_memory = GENERATE(true, false);
  struct Results {
    at::Tensor sum, max, bf16, root;
    std::vector<double> least;
    std::vector<std::string> texts;
    std::string chosen;
  };
  std::vector<Results> results(static_cast<std::size_t>(ranks));
  titan::testing::run_ranks(
      ranks,
      [&](Communicator& group) {
        const auto r = static_cast<double>(group.rank());
        Results& mine = results[static_cast<std::size_t>(group.rank())];
        mine.sum = torch::arange(1000).to(at::kFloat) + r;
        mine.max = torch::full({3}, r, at::kDouble);
        mine.bf16 = torch::full({7}, r + 1, at::kBFloat16);
        mine.root = torch::full({5}, r, at::kLong);
        auto first = group.all_reduce_async_(mine.sum);  // two under way at once
        auto second = group.all_reduce_async_(mine.max, Reduction::kMax);
        first.wait();
        first.wait();  // a second wait does nothing
        second.wait();
        group.all_reduce_(mine.bf16);
        group.broadcast_(mine.root, 1);
        mine.least = group.all_reduce_values({r, -r}, Reduction::kMin);
        // Texts of unequal length, one of them empty and one with a zero byte.
        mine.texts = group.all_gather_text(group.rank() == 0 ? std::string()
                                                             : std::string("a\0b", 3) +
                                                                   std::to_string(group.rank()));
        mine.chosen = group.broadcast_text("from " + std::to_string(group.rank()), 1);
      },
      std::chrono::seconds(30), shared_memory);
  for (const Results& r : results) {
    REQUIRE(
        torch::equal(r.sum, torch::arange(1000).to(at::kFloat) * ranks + ranks * (ranks - 1) / 2));
    REQUIRE(torch::equal(r.max, torch::full({3}, ranks - 1, at::kDouble)));
    REQUIRE(r.bf16[0].item<float>() == static_cast<float>(ranks * (ranks + 1) / 2));
    REQUIRE(torch::equal(r.root, torch::full({5}, 1, at::kLong)));
    REQUIRE(r.least == std::vector<double>{0.0, -(ranks - 1.0)});
    REQUIRE(r.texts.size() == static_cast<std::size_t>(ranks));
    REQUIRE(r.texts[0].empty());
    REQUIRE(r.texts[1] == std::string("a\0b1", 4));
    REQUIRE(r.chosen == "from 1");
  }
}

TEST_CASE("A device without a communication library is named", "[parallel]") {
  titan::parallel::BackendRequest request;
  request.device = at::Device(at::kXPU, 0);
  REQUIRE_THROWS_WITH(
      titan::parallel::make_backend(request),
      Catch::Matchers::Contains("no communication library for this device (device=xpu:0)"));
}

TEST_CASE("Collectives refuse strided tensors", "[parallel]") {
  std::vector<std::string> messages(2);
  titan::testing::run_ranks(2, [&](Communicator& group) {
    try {
      group.all_reduce_(torch::ones({4, 4}).t());
    } catch (const titan::Error&) {
      messages[static_cast<std::size_t>(group.rank())] = "unexpected";
    }
    try {
      group.all_reduce_(torch::ones({4, 3}).t());
    } catch (const titan::Error& error) {
      messages[static_cast<std::size_t>(group.rank())] += error.what();
    }
  });
  for (const std::string& message : messages)
    REQUIRE_THAT(message, Catch::Matchers::Contains("needs a contiguous tensor"));
}
