// cuda_library.h: libtitan_cuda.so, loaded where it can be of use. One build serves machines with
// and without a GPU.
#pragma once

#include <string>

#include <c10/core/Device.h>

#include "titan/base/status.h"
#include "titan/parallel/device_support.h"

namespace titan::parallel {

/// What came of loading.
struct CudaLibrary {
  bool has_driver = false;  ///< an NVIDIA driver and at least one device answer
  bool loaded = false;
  std::string reason;  ///< why it is not loaded
};

/// Loads libtitan_cuda.so from beside libtitan.so if a driver and a device exist. Must be the first
/// statement of a program's main: LibTorch looks its CUDA hooks up once per process, so no ATen
/// call may come before. Says nothing on a machine without a driver, warns where there is one but
/// the library cannot be used. Later calls return the first one's result.
const CudaLibrary& load_cuda_library();

/// Loads that file and lets it register kernels, NCCL and device services; failed_precondition with
/// the loader's words.
Status load_cuda_library_from(const std::string& path);

/// The device of this rank for job.device = "auto", "cpu" or "cuda" (its choice is logged for
/// auto; so are kernels that do not run on it, and memory that others hold). invalid_argument with
/// the reason where cuda is asked for but cannot be used, or this host has fewer devices than
/// ranks. Makes the device current.
StatusOr<c10::Device> choose_device(const std::string& wanted, int local_rank);

/// How the memory of a device of the loaded library is divided now.
DeviceMemory device_memory(int device);

}  // namespace titan::parallel
