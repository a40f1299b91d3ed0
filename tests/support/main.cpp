// Entry point of every test binary. Exit code 77 when all that ran was skipped.
#define CATCH_CONFIG_RUNNER
#include "tests/support/catch.h"

namespace {
struct CaseCounter : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;
  static int& count() {
    static int cases = 0;
    return cases;
  }
  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    TestEventListenerBase::testCaseStarting(info);
    ++count();
  }
};
}  // namespace
CATCH_REGISTER_LISTENER(CaseCounter)

int main(int argc, char** argv) {
  const int result = Catch::Session().run(argc, argv);
  const int skipped = titan::testing::skip_count();
  if (result == 0 && skipped > 0 && skipped == CaseCounter::count()) return 77;
  return result;
}
