#include "tests/support/catch.h"

namespace titan::testing {
int& skip_count() {
  static int count = 0;
  return count;
}
}  // namespace titan::testing
