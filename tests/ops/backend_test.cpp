#include "tests/support/catch.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

TEST_CASE("the backend is chosen by name and unknown names are refused", "[ops]") {
  REQUIRE(ops::set_backend(std::string("reference")).ok());
  REQUIRE(ops::backend() == ops::Backend::kReference);
  REQUIRE_FALSE(ops::use_fused(at::zeros({1}), "titan::rope"));
  REQUIRE(ops::set_backend(std::string("fused")).ok());
  REQUIRE(ops::use_fused(at::zeros({1}), "titan::rope"));
  REQUIRE_FALSE(ops::use_fused(at::zeros({1}, at::kDouble), "titan::rope"));
  REQUIRE_THAT(message_of(ops::set_backend(std::string("fast"))),
               Catch::Contains("kernels.backend=fast"));
}

}  // namespace
}  // namespace titan
