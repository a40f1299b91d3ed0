#include "titan/plan/hardware.h"

#include <algorithm>
#include <cctype>

#include "titan/config/nearest.h"

namespace titan::plan {
namespace {

constexpr double kTera = 1e12;
constexpr double kGiga = 1e9;

// NVIDIA: data sheets of A100 80 GB SXM, H100 SXM, H200 SXM, HGX B200, HGX B300, GB200 and GB300
// NVL72 (NVLink: half of the sheets' figure, which adds both directions). AMD: data sheets of
// MI300X and MI325X (seven links of 128 GB/s, both directions). Network: one 200 Gb/s adapter a
// device for A100, one of 400 Gb/s up to B200, 800 Gb/s from B300 on (ConnectX-6, -7, -8). cpu: one
// thread of a server core, AVX-512 in float32, as docs/results/cpu_step.md has it; its "link" is
// memory.
const std::vector<Hardware>& table() {
  static const std::vector<Hardware> rows = {
      {"a100", 312 * kTera, 0, 80 * kGiga, 2.039 * kTera, 300 * kGiga, 8, 25 * kGiga, 400},
      {"h100", 989 * kTera, 1979 * kTera, 80 * kGiga, 3.35 * kTera, 450 * kGiga, 8, 50 * kGiga,
       700},
      {"h200", 989 * kTera, 1979 * kTera, 141 * kGiga, 4.8 * kTera, 450 * kGiga, 8, 50 * kGiga,
       700},
      {"b200", 2250 * kTera, 4500 * kTera, 180 * kGiga, 7.7 * kTera, 900 * kGiga, 8, 50 * kGiga,
       1000},
      {"b300", 2250 * kTera, 4500 * kTera, 270 * kGiga, 7.7 * kTera, 900 * kGiga, 8, 100 * kGiga,
       1100},
      {"gb200", 2500 * kTera, 5000 * kTera, 186 * kGiga, 8.0 * kTera, 900 * kGiga, 72, 50 * kGiga,
       1200},
      {"gb300", 2500 * kTera, 5000 * kTera, 279 * kGiga, 8.0 * kTera, 900 * kGiga, 72, 100 * kGiga,
       1400},
      {"mi300x", 1307 * kTera, 2615 * kTera, 192 * kGiga, 5.3 * kTera, 448 * kGiga, 8, 50 * kGiga,
       750},
      {"mi325x", 1307 * kTera, 2615 * kTera, 256 * kGiga, 6.0 * kTera, 448 * kGiga, 8, 50 * kGiga,
       1000},
      {"cpu", 0.11 * kTera, 0, 0, 20 * kGiga, 2 * kGiga, 8, 1 * kGiga, 0},
  };
  return rows;
}

}  // namespace

std::vector<std::string> hardware_names() {
  std::vector<std::string> names;
  for (const Hardware& row : table()) names.push_back(row.name);
  return names;
}

StatusOr<Hardware> find_hardware(const std::string& name) {
  for (const Hardware& row : table())
    if (row.name == name) return row;
  std::string known;
  for (const std::string& one : hardware_names()) known += (known.empty() ? "" : ", ") + one;
  const std::string nearest = config::nearest_match(name, hardware_names());
  return invalid_argument("[plan] --device must be one of ", known, " (given ", name,
                          nearest.empty() ? "" : "; did you mean " + nearest + "?", ")");
}

std::string hardware_of_device(const std::string& device_name) {
  std::string lower = device_name;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string best;  // the longest name that occurs: "gb200" before "b200"
  for (const std::string& name : hardware_names())
    if (lower.find(name) != std::string::npos && name.size() > best.size()) best = name;
  return best;
}

}  // namespace titan::plan
