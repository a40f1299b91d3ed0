#include "tests/support/catch.h"

#include "titan/tools/data/ordered_work.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>

namespace titan::tools {
namespace {

using Item = std::optional<std::string>;

StatusOr<Item> slow_item(int64_t i, int64_t count) {
  if (i >= count) return std::nullopt;
  // Later items are ready first.
  std::this_thread::sleep_for(std::chrono::microseconds((i * 7) % 5 * 200));
  return std::to_string(i);
}

}  // namespace

TEST_CASE("ordered_work uses every item once, in order", "[tools]") {
  for (const int64_t threads : {1, 2, 7}) {
    for (const int64_t count : {0, 1, 100}) {
      int64_t expected = 5;
      const Status status = ordered_work<std::string>(
          5, threads, [&](int64_t i) { return slow_item(i, 5 + count); },
          [&](int64_t i, const std::string& item) -> StatusOr<bool> {
            CHECK(i == expected++);
            CHECK(item == std::to_string(i));
            return true;
          });
      CHECK(status.ok());
      CHECK(expected == 5 + count);
    }
  }
}

TEST_CASE("ordered_work ends early, at errors in order, and bounds what waits", "[tools]") {
  std::atomic<int64_t> largest{0};
  int64_t used = 0;
  const auto make = [&](int64_t i) -> StatusOr<Item> {
    if (i > largest) largest = i;
    if (i == 40) return data_loss("item 40");
    if (i == 41) throw std::runtime_error("item 41");
    return slow_item(i, 1000);
  };
  const auto count = [&](int64_t, const std::string&) -> StatusOr<bool> { return ++used < 10; };
  CHECK(ordered_work<std::string>(0, 3, make, count).ok());
  CHECK(used == 10);
  CHECK(largest <= 10 + 12);
  used = -1000;
  CHECK(message_of(ordered_work<std::string>(0, 3, make, count)) == "item 40");
  CHECK(used == -960);
  CHECK(message_of(ordered_work<std::string>(41, 3, make, count)) == "item 41");
  CHECK(message_of(ordered_work<std::string>(0, 3, make,
                                             [](int64_t, const std::string&) -> StatusOr<bool> {
                                               return invalid_argument("no");
                                             })) == "no");
}

}  // namespace titan::tools
