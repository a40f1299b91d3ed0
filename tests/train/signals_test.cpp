#include "tests/support/catch.h"

#include "titan/train/signals.h"

#include <csignal>

TEST_CASE("The first signal is noted and the program goes on", "[train]") {
  const int number = GENERATE(SIGINT, SIGTERM, SIGUSR1);
  titan::install_signal_handlers();
  REQUIRE(titan::requested_signal() == 0);
  raise(number);
  REQUIRE(titan::requested_signal() == number);
  titan::reset_signal_handlers();
  REQUIRE(titan::requested_signal() == 0);
}
