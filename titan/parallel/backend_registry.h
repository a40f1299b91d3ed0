// backend_registry.h: which communication library serves which kind of device. Shared memory and
// Gloo for CPU tensors are built in; libtitan_cuda.so adds NCCL when it is loaded.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace titan::parallel {

/// One group of ranks that wants to talk.
struct BackendRequest {
  c10::intrusive_ptr<c10d::Store> store;  ///< meeting place of exactly this group (a PrefixStore)
  int rank = 0;
  int size = 1;
  at::Device device = at::kCPU;  ///< this rank's device; its type chooses the library
  std::chrono::milliseconds timeout{300'000};
  std::string name;            ///< of the group, for messages and traces
  bool local_host = false;     ///< all ranks on this host: talk over loopback
  bool shared_memory = false;  ///< CPU: share memory where all ranks are on one host
};

using BackendFactory = std::function<c10::intrusive_ptr<c10d::Backend>(const BackendRequest&)>;

/// Adds (or replaces) the factory for a kind of device.
void register_backend(at::DeviceType type, BackendFactory factory);

/// Connects the group: returns when all its ranks have come. Throws titan::Error where no library
/// serves the device, and whatever the library throws.
c10::intrusive_ptr<c10d::Backend> make_backend(const BackendRequest& request);

}  // namespace titan::parallel
