#include "tests/support/catch.h"

#include "titan/base/thread_pool.h"

#include <atomic>
#include <future>

TEST_CASE("every submitted task runs, and set-up runs once per worker", "[base]") {
  std::atomic<int> starts{0}, runs{0};
  std::promise<void> all_done;
  titan::ThreadPool pool(3, [&] { ++starts; });
  for (int i = 0; i < 100; ++i) {
    pool.submit([&] {
      if (++runs == 100) all_done.set_value();
    });
  }
  all_done.get_future().wait();
  REQUIRE(runs == 100);
  REQUIRE(pool.num_threads() == 3);
  REQUIRE(starts >= 1);
  REQUIRE(starts <= 3);
}

TEST_CASE("destruction waits for a running task and drops queued ones", "[base]") {
  std::atomic<int> finished{0};
  {
    std::promise<void> started;
    titan::ThreadPool pool(1);
    pool.submit([&] {
      started.set_value();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      ++finished;
    });
    started.get_future().wait();
  }
  REQUIRE(finished == 1);
}
