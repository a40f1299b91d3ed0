#include "titan/metrics/device_peak.h"

#include <array>

namespace titan::metrics {
namespace {

struct Peak {
  const char* part;  ///< of the device's name
  double bf16;
  double fp8;  ///< 0: none
};
// Makers' data sheets, dense (sheets of NVIDIA also print twice these, with sparsity). The first
// match counts, so the narrower name comes first. torchtitan's table differs for B200 (4.5e15 is
// the sparse figure).
constexpr std::array<Peak, 12> kPeaks = {{
    {"H100 NVL", 835e12, 1671e12},
    {"H100 PCIe", 756e12, 1513e12},
    {"H100", 989e12, 1979e12},
    {"H200 NVL", 835e12, 1671e12},
    {"H200", 989e12, 1979e12},
    {"GH200", 989e12, 1979e12},
    {"B200", 2250e12, 4500e12},
    {"A100", 312e12, 0},
    {"L40S", 362e12, 733e12},
    {"MI300X", 1307e12, 2615e12},
    {"MI325X", 1307e12, 2615e12},
    {"MI250X", 191.5e12, 0},  // one of its two dies, which is what a process sees
}};

const Peak* find_peak(const std::string& device_name) {
  for (const Peak& peak : kPeaks)
    if (device_name.find(peak.part) != std::string::npos) return &peak;
  return nullptr;
}

}  // namespace

std::optional<double> peak_bf16_flops(const std::string& device_name) {
  const Peak* const peak = find_peak(device_name);
  return peak != nullptr ? std::optional(peak->bf16) : std::nullopt;
}

std::optional<double> peak_fp8_flops(const std::string& device_name) {
  const Peak* const peak = find_peak(device_name);
  return peak != nullptr && peak->fp8 > 0 ? std::optional(peak->fp8) : std::nullopt;
}

}  // namespace titan::metrics
