// gloo_backend.h: c10d's Gloo backend, built directly. gloo_backend.cpp is the one file that sees
// Gloo's headers.
#pragma once

#include "titan/parallel/backend_registry.h"

namespace titan::parallel {

/// Connects the group over TCP. GLOO_SOCKET_IFNAME names the network interface; without it:
/// loopback where all ranks are local, else the interface of this host's name.
c10::intrusive_ptr<c10d::Backend> make_gloo_backend(const BackendRequest& request);

}  // namespace titan::parallel
