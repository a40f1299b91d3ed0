#include "titan/metrics/device_peak.h"

#include "tests/support/catch.h"

namespace titan::metrics {

TEST_CASE("Known devices have a peak, the narrower name first", "[metrics]") {
  REQUIRE(*peak_bf16_flops("NVIDIA H100 80GB HBM3") == 989e12);
  REQUIRE(*peak_bf16_flops("NVIDIA H100 PCIe") == 756e12);
  REQUIRE(*peak_bf16_flops("NVIDIA H100 NVL") == 835e12);
  REQUIRE(*peak_bf16_flops("NVIDIA H200") == 989e12);
  REQUIRE(*peak_bf16_flops("NVIDIA GH200 480GB") == 989e12);
  REQUIRE(*peak_bf16_flops("NVIDIA A100-SXM4-40GB") == 312e12);
}

TEST_CASE("Devices with 8-bit products have a second peak", "[metrics]") {
  REQUIRE(*peak_fp8_flops("NVIDIA H200") == 1979e12);
  REQUIRE(*peak_fp8_flops("NVIDIA B200") == 4500e12);
  REQUIRE_FALSE(peak_fp8_flops("NVIDIA A100-SXM4-40GB").has_value());
  REQUIRE_FALSE(peak_fp8_flops("NVIDIA GeForce GTX 1650").has_value());
}

TEST_CASE("An unknown device has none", "[metrics]") {
  REQUIRE_FALSE(peak_bf16_flops("NVIDIA GeForce GTX 1650").has_value());
  REQUIRE_FALSE(peak_bf16_flops("").has_value());
}

}  // namespace titan::metrics
