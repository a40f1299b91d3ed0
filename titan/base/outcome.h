// outcome.h: how a program says that something failed.
#pragma once

#include "titan/base/log.h"
#include "titan/base/status.h"

namespace titan {

/// 0 where `status` is ok; else its exit code, after its message has been logged as an error.
inline int exit_with(const Status& status) {
  if (status.ok()) return 0;
  TITAN_LOG(ERROR) << message_of(status);
  return exit_code_for(status);
}

}  // namespace titan
