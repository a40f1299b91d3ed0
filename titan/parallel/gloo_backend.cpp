// The wheel ships no Gloo headers: these are Debian's (libgloo-dev), used for declarations only.
// Every symbol comes from libtorch_cpu, and no c10d class contains a Gloo class by value.
#include "titan/parallel/gloo_backend.h"

#include <cstdlib>

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

namespace titan::parallel {
namespace {

std::shared_ptr<gloo::transport::Device> choose_network(bool local_host) {
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  if (interface != nullptr && *interface != '\0') {
    return c10d::ProcessGroupGloo::createDeviceForInterface(interface);
  }
  if (local_host) return c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1");
  return c10d::ProcessGroupGloo::createDefaultDevice();
}

}  // namespace

c10::intrusive_ptr<c10d::Backend> make_gloo_backend(const BackendRequest& request) {
  auto options = c10d::ProcessGroupGloo::Options::create(request.timeout);
  options->devices.push_back(choose_network(request.local_host));
  options->threads = 2;
  options->group_name = request.name;
  return c10::make_intrusive<c10d::ProcessGroupGloo>(request.store, request.rank, request.size,
                                                     options);
}

}  // namespace titan::parallel
