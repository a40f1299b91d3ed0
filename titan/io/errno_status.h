// io: bytes and formats (files, safetensors, tars, images). No torch; of titan only base and config
// may be included.
//
// errno_status.h: the operating system's errors as Status.
#pragma once

#include <string>

#include "titan/base/status.h"

namespace titan {

/// "[io] cannot <action> <path>: <errno text>". Missing files are kNotFound, forbidden or read-only
/// places kPermissionDenied (both bad input), a full disk kResourceExhausted, errors that may pass
/// (EIO, ESTALE, ETIMEDOUT, too many open files) kUnavailable, the rest kInternal.
Status errno_status(int error_number, const std::string& action, const std::string& path);

}  // namespace titan
