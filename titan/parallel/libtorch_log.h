// libtorch_log.h: LibTorch writes on stderr by itself (c10d on our own timeouts, Kineto without a
// GPU); users did not ask for that.
#pragma once

namespace titan::parallel {

/// Lets only errors of LibTorch through, unless TORCH_CPP_LOG_LEVEL is set; call it before other
/// threads start.
void quiet_libtorch();

}  // namespace titan::parallel
