// device_peak.h: what a device can do at best, for MFU.
#pragma once

#include <optional>
#include <string>

namespace titan::metrics {

/// Dense matrix FLOP/s in bfloat16 of one device, by the name that its driver reports (NVIDIA:
/// cudaDeviceProp.name). Nothing for a device that is not in the table: no MFU is better than a
/// wrong one.
std::optional<double> peak_bf16_flops(const std::string& device_name);
/// Likewise in 8-bit floating point; nothing for a device without such products.
std::optional<double> peak_fp8_flops(const std::string& device_name);

}  // namespace titan::metrics
