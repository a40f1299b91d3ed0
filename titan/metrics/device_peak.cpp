#include "titan/metrics/device_peak.h"

#include <array>

namespace titan::metrics {
namespace {

struct Peak {
  const char* part;  ///< of the device's name
  double flops;
};
// Makers' data sheets, dense (sheets of NVIDIA also print twice these, with sparsity). The first
// match counts, so the narrower name comes first. torchtitan's table differs for B200 (4.5e15 is
// the sparse figure).
constexpr std::array<Peak, 12> kPeaks = {{
    {"H100 NVL", 835e12},
    {"H100 PCIe", 756e12},
    {"H100", 989e12},
    {"H200 NVL", 835e12},
    {"H200", 989e12},
    {"GH200", 989e12},
    {"B200", 2250e12},
    {"A100", 312e12},
    {"L40S", 362e12},
    {"MI300X", 1307e12},
    {"MI325X", 1307e12},
    {"MI250X", 191.5e12},  // one of its two dies, which is what a process sees
}};

}  // namespace

std::optional<double> peak_bf16_flops(const std::string& device_name) {
  for (const Peak& peak : kPeaks)
    if (device_name.find(peak.part) != std::string::npos) return peak.flops;
  return std::nullopt;
}

}  // namespace titan::metrics
