#include "tests/support/catch.h"

#include "titan/train/kernel_settings.h"

#include "titan/ops/attention_backend.h"
#include "titan/ops/backend.h"

namespace titan {
namespace {

/// Puts the process's choices back.
struct DefaultKernels {
  ~DefaultKernels() {
    ops::set_backend(ops::Backend::kFused);
    ops::set_attention_backend(ops::AttentionBackend::kAuto);
  }
};

TEST_CASE("fused kernels run where both training.compile and kernels.backend say so", "[train]") {
  const DefaultKernels put_back;
  for (const bool compile : {true, false}) {
    for (const char* backend : {"fused", "reference"}) {
      JobConfig config;
      config.training.compile = compile;
      config.kernels.backend = backend;
      REQUIRE(choose_kernels(config, c10::DeviceType::CPU).ok());
      const bool fused = compile && backend == std::string("fused");
      REQUIRE((ops::backend() == ops::Backend::kFused) == fused);
      REQUIRE(ops::use_fused(at::zeros({1}), "titan::rope") == fused);
    }
  }
  REQUIRE(JobConfig().training.compile);  // the switch turns off, it need not be turned on
}

TEST_CASE("attention.backend is set, and cudnn without a GPU is refused", "[train]") {
  const DefaultKernels put_back;
  JobConfig config;
  config.attention.backend = "math";
  REQUIRE(choose_kernels(config, c10::DeviceType::CPU).ok());
  REQUIRE(ops::attention_backend() == ops::AttentionBackend::kMath);
  config.attention.backend = "cudnn";
  const Status status = choose_kernels(config, c10::DeviceType::CPU);
  REQUIRE(exit_code_for(status) == 2);
  REQUIRE_THAT(message_of(status),
               Catch::Contains("attention.backend=cudnn needs a GPU, this run is on the cpu"));
  REQUIRE(choose_kernels(config, c10::DeviceType::CUDA).ok());
  REQUIRE(ops::attention_backend() == ops::AttentionBackend::kCudnn);
}

}  // namespace
}  // namespace titan
