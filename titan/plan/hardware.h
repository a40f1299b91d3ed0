// hardware.h: what devices can do, for plans made without one. No torch.
#pragma once

#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan::plan {

/// Makers' data sheets, dense figures. Rates in units per second.
struct Hardware {
  std::string name;
  double bf16_flops = 0;
  double fp8_flops = 0;     ///< 0 = none
  double memory_bytes = 0;  ///< capacity
  double memory_bandwidth = 0;
  double link_bandwidth = 0;     ///< to the devices of its own domain, one direction
  int64_t domain = 1;            ///< devices joined by that link (NVLink, Infinity Fabric)
  double network_bandwidth = 0;  ///< of one device's adapter, one direction
  double watts = 0;              ///< board power limit
};

/// "h200", "b200", ...; the error lists the known names.
StatusOr<Hardware> find_hardware(const std::string& name);
std::vector<std::string> hardware_names();

/// The row that a driver's device name belongs to ("NVIDIA H200" -> "h200"); empty = none.
std::string hardware_of_device(const std::string& device_name);

}  // namespace titan::plan
