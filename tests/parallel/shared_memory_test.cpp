#include "tests/support/catch.h"

#include <thread>

#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include "titan/base/check.h"
#include "titan/parallel/shared_segment.h"

#include "tests/support/ranks.h"

using titan::parallel::Communicator;
using titan::parallel::Reduction;
using titan::parallel::SharedSegment;

namespace {

/// Numbers of one rank, other ones for each.
at::Tensor numbers(int rank, int64_t count, at::ScalarType dtype) {
  const at::Generator random = at::make_generator<at::CPUGeneratorImpl>(100 + rank);
  return at::isIntegralType(dtype, /*includeBool=*/false)
             ? at::randint(-1000, 1000, {count}, random, dtype)
             : at::randn({count}, random).to(dtype);
}

/// The sum in order of rank: 16-bit numbers in float32, rounded once.
at::Tensor sum_of(const std::vector<at::Tensor>& all) {
  const at::ScalarType dtype = all[0].scalar_type();
  const bool narrow = dtype == at::kBFloat16 || dtype == at::kHalf;
  at::Tensor sum = all[0].to(narrow ? at::kFloat : dtype);
  for (std::size_t r = 1; r < all.size(); ++r) sum = sum + all[r].to(sum.scalar_type());
  return sum.to(dtype);
}

struct Results {
  at::Tensor sum, max, whole, part, part_in_place, whole_in_place, root;
};

void run_all(Communicator& group, int64_t count, at::ScalarType dtype, Results& mine) {
  const int rank = group.rank(), ranks = group.size();
  const at::Tensor own = numbers(rank, count, dtype), longer = numbers(rank, count * ranks, dtype);
  mine.sum = own.clone();
  group.all_reduce_(mine.sum);
  mine.max = own.clone();
  group.all_reduce_(mine.max, Reduction::kMax);
  mine.whole = at::zeros({count * ranks}, dtype);
  group.all_gather_async_(mine.whole, own).wait();
  mine.whole_in_place = at::zeros({count * ranks}, dtype);
  mine.whole_in_place.narrow(0, rank * count, count).copy_(own);
  group.all_gather_async_(mine.whole_in_place, mine.whole_in_place.narrow(0, rank * count, count))
      .wait();
  mine.part = at::zeros({count}, dtype);
  group.reduce_scatter_async_(mine.part, longer).wait();
  const at::Tensor again = longer.clone();
  mine.part_in_place = again.narrow(0, rank * count, count);
  group.reduce_scatter_async_(mine.part_in_place, again).wait();
  mine.root = own.clone();
  group.broadcast_(mine.root, ranks - 1);
}

}  // namespace

TEST_CASE("Collectives through shared memory give the sums of their ranks in order, bit by bit",
          "[parallel]") {
  const int ranks = GENERATE(2, 3, 5);
  const at::ScalarType dtype =
      GENERATE(at::kFloat, at::kBFloat16, at::kHalf, at::kDouble, at::kInt, at::kLong);
  // One number; fewer than ranks; a message of one meeting; one piece; several and a rest.
  const int64_t count = GENERATE(1, 4, 900, 100'003, 700'001);
  std::vector<Results> results(static_cast<std::size_t>(ranks));
  titan::testing::run_ranks(ranks, [&](Communicator& group) {
    run_all(group, count, dtype, results[static_cast<std::size_t>(group.rank())]);
  });
  std::vector<at::Tensor> own, longer;
  for (int r = 0; r < ranks; ++r) {
    own.push_back(numbers(r, count, dtype));
    longer.push_back(numbers(r, count * ranks, dtype));
  }
  const at::Tensor sum = sum_of(own), parts = sum_of(longer), whole = at::cat(own);
  const at::Tensor max = std::get<0>(at::stack(own).max(0));
  CAPTURE(ranks, c10::toString(dtype), count);
  for (int r = 0; r < ranks; ++r) {
    const Results& one = results[static_cast<std::size_t>(r)];
    CHECK(torch::equal(one.sum, sum));
    CHECK(torch::equal(one.max, max));
    CHECK(torch::equal(one.whole, whole));
    CHECK(torch::equal(one.whole_in_place, whole));
    CHECK(torch::equal(one.part, parts.narrow(0, r * count, count)));
    CHECK(torch::equal(one.part_in_place, one.part));
    CHECK(torch::equal(one.root, own.back()));
  }
}

TEST_CASE("A NaN wins a reduction wherever it is", "[parallel]") {
  const Reduction reduction = GENERATE(Reduction::kSum, Reduction::kMax, Reduction::kMin);
  std::vector<at::Tensor> results(3);
  titan::testing::run_ranks(3, [&](Communicator& group) {
    at::Tensor mine = at::zeros({3});
    mine[group.rank()] = NAN;
    group.all_reduce_(mine, reduction);
    results[static_cast<std::size_t>(group.rank())] = mine;
  });
  for (const at::Tensor& result : results) CHECK(result.isnan().all().item<bool>());
}

TEST_CASE("Many collectives under way, waited for late and out of order, keep to their tensors",
          "[parallel]") {
  constexpr int kRanks = 3, kCalls = 300;
  std::vector<int> wrong(kRanks);
  titan::testing::run_ranks(kRanks, [&](Communicator& group) {
    std::vector<at::Tensor> tensors;
    std::vector<titan::parallel::PendingCollective> pending;
    for (int i = 0; i < kCalls; ++i) {
      tensors.push_back(at::full({1 + 997 * (i % 50)}, i + group.rank(), at::kFloat));
      pending.push_back(group.all_reduce_async_(tensors.back()));
      // Ranks are early and late in turn.
      if (i % 17 == group.rank()) std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
    for (int i = kCalls; i-- > 0;) pending[static_cast<std::size_t>(i)].wait();
    for (int i = 0; i < kCalls; ++i) {
      const float sum = static_cast<float>(kRanks * i + kRanks * (kRanks - 1) / 2);
      if (!tensors[static_cast<std::size_t>(i)].eq(sum).all().item<bool>())
        ++wrong[static_cast<std::size_t>(group.rank())];
    }
  });
  CHECK(wrong == std::vector<int>(kRanks));
}

TEST_CASE("A rank that does not come is named, and the group is broken from then on",
          "[parallel]") {
  std::string later;
  const auto messages = titan::testing::errors_of_ranks(
      3,
      [&](Communicator& group) {
        if (group.rank() == 1) {
          std::this_thread::sleep_for(std::chrono::milliseconds(900));
          return;
        }
        try {
          group.barrier();
        } catch (const titan::Error&) {
          if (group.rank() == 0) {
            try {
              group.barrier();
            } catch (const titan::Error& error) {
              later = error.what();
            }
          }
          throw;
        }
      },
      std::chrono::milliseconds(300));
  for (const int rank : {0, 2})
    CHECK_THAT(messages[static_cast<std::size_t>(rank)],
               Catch::Matchers::Contains("rank 1 did not come in time"));
  CHECK_THAT(later, Catch::Matchers::Contains("the group is broken: rank 1 did not come"));
}

TEST_CASE("A rank that has left is not waited for", "[parallel]") {
  const auto begin = std::chrono::steady_clock::now();
  const auto messages = titan::testing::errors_of_ranks(
      2,
      [&](Communicator& group) {
        if (group.rank() == 0) group.barrier();  // rank 1 closes its side
      },
      std::chrono::seconds(20));
  CHECK_THAT(messages[0], Catch::Matchers::Contains("rank 1 has left"));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

TEST_CASE("All ranks share memory or none does", "[parallel]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  const std::size_t other_size = GENERATE(4096, 8192);
  std::vector<std::unique_ptr<SharedSegment>> segments(3);
  std::vector<std::string> reasons(3);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 3; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto r = static_cast<std::size_t>(rank);
      segments[r] = SharedSegment::open(*store, rank, 3, rank == 2 ? other_size : 4096, reasons[r]);
    });
  }
  for (std::thread& rank : ranks) rank.join();
  if (other_size == 4096) {
    segments[0]->data()[17] = std::byte{42};
    CHECK(segments[2]->data()[17] == std::byte{42});
    CHECK(segments[1]->data()[18] == std::byte{0});
    return;
  }
  for (std::size_t r = 0; r < 3; ++r) {
    CHECK(segments[r] == nullptr);
    CHECK_THAT(reasons[r], Catch::Matchers::Contains("is another file"));
  }
}
