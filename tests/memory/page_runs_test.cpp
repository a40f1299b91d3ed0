#include "titan/memory/page_runs.h"

#include <cstring>
#include <map>
#include <random>

#include "tests/support/catch.h"

namespace titan::memory {

constexpr std::size_t kPage = PageRuns::kPageBytes;

TEST_CASE("RunSet joins neighbours and finds the smallest fit", "[memory]") {
  RunSet runs;
  runs.insert({100, 10});
  runs.insert({120, 30});
  runs.insert({200, 15});
  REQUIRE(runs.best_fit(11)->address == 200);
  runs.insert({110, 10});  // closes the gap 100..120
  REQUIRE(runs.by_address().size() == 2);
  REQUIRE(runs.starting_at(100)->size == 50);
  REQUIRE_FALSE(runs.best_fit(51).has_value());
  runs.erase({100, 50});
  REQUIRE(runs.best_fit(1)->address == 200);
}

TEST_CASE("PageRuns gives a returned run out again and joins returned neighbours", "[memory]") {
  PageRuns runs;
  void* a = runs.take(2 * kPage);
  void* b = runs.take(3 * kPage);
  REQUIRE(reinterpret_cast<std::uintptr_t>(a) % kPage == 0);
  REQUIRE(runs.reserved() == 5 * kPage);
  runs.give(a, 2 * kPage);
  REQUIRE(runs.take(2 * kPage) == a);
  runs.give(a, 2 * kPage);
  runs.give(b, 3 * kPage);
  REQUIRE(runs.take(5 * kPage) == a);
  REQUIRE(runs.reserved() == 5 * kPage);
}

TEST_CASE("PageRuns grows a backed run at the end rather than taking fresh memory", "[memory]") {
  PageRuns runs;
  void* a = runs.take(4 * kPage);
  runs.give(a, 4 * kPage);
  REQUIRE(runs.take(6 * kPage) == a);
  REQUIRE(runs.reserved() == 6 * kPage);
}

TEST_CASE("PageRuns returns unused memory to the system and keeps used bytes", "[memory]") {
  PageRuns runs;
  auto* kept = static_cast<char*>(runs.take(kPage));
  auto* unused = static_cast<char*>(runs.take(2 * kPage));
  std::memset(kept, 7, kPage);
  std::memset(unused, 9, 2 * kPage);
  runs.give(unused, 2 * kPage);
  REQUIRE(runs.release_unused() == 2 * kPage);
  REQUIRE(runs.reserved() == kPage);
  REQUIRE(kept[kPage - 1] == 7);
  REQUIRE(runs.take(2 * kPage) == unused);
  REQUIRE(unused[0] == 0);  // the system gave a fresh page
}

TEST_CASE("PageRuns never hands out overlapping runs", "[memory]") {
  PageRuns runs;
  std::mt19937 random(3);
  std::map<std::uintptr_t, std::size_t> taken;
  std::size_t in_use = 0;
  for (int i = 0; i < 4000; ++i) {
    if (taken.size() < 2 || random() % 5 < 3) {
      const std::size_t size = kPage * (1 + random() % 9);
      const auto address = reinterpret_cast<std::uintptr_t>(runs.take(size));
      const auto next = taken.lower_bound(address);
      REQUIRE((next == taken.end() || address + size <= next->first));
      REQUIRE(
          (next == taken.begin() || std::prev(next)->first + std::prev(next)->second <= address));
      taken.emplace(address, size);
      in_use += size;
    } else {
      const auto chosen = std::next(taken.begin(), static_cast<long>(random() % taken.size()));
      runs.give(reinterpret_cast<void*>(chosen->first), chosen->second);
      in_use -= chosen->second;
      taken.erase(chosen);
    }
    REQUIRE(runs.reserved() >= in_use);
  }
}

}  // namespace titan::memory
