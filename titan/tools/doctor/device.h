// device.h: driver, CUDA's libraries and the device of a rank, and the versions of everything. CUDA
// is asked by symbol: no header of it is needed. No torch in this header.
#pragma once

#include <cstdint>
#include <string>

#include "titan/tools/doctor/finding.h"

namespace titan::doctor {

/// CUDA versions as CUDA counts: 13000 = 13.0; 0 = not known.
struct DriverFacts {
  bool present = false;     ///< an NVIDIA driver and a device answer
  int driver = 0;           ///< newest CUDA that the driver serves
  int runtime = 0;          ///< of the runtime that LibTorch brought
  bool loaded = false;      ///< libtitan_cuda.so is in use
  std::string reason = {};  ///< why it is not
};

/// What LibTorch 2.11.0's wheel is built with (scripts/wheels.txt).
inline constexpr int kCudaOfLibTorch = 13000;

DriverFacts read_driver();
/// `wanted`: job.device.
void judge_driver(const DriverFacts& driver, const std::string& wanted, Section& section);

struct DeviceFacts {
  std::string name = {};
  int capability = 0;  ///< 90 = 9.0
  std::int64_t total = 0;
  std::int64_t free = 0;  ///< before this process took any
};

/// Of a CUDA device in use, by its number.
DeviceFacts read_device(int device);
void judge_device(const DeviceFacts& device, Section& section);

/// titan, LibTorch, CUDA, NCCL, compiler, C library, kernel.
void list_versions(const DriverFacts& driver, Section& section);

}  // namespace titan::doctor
