#include "titan/io/errno_status.h"

#include <cerrno>
#include <system_error>

namespace titan {
namespace {

absl::StatusCode code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return absl::StatusCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP:
      return absl::StatusCode::kInvalidArgument;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case EIO:
    case ESTALE:
    case ETIMEDOUT:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case EREMOTEIO:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

Status errno_status(int error_number, const std::string& action, const std::string& path) {
  // generic_category().message, unlike strerror, is safe to call from many threads.
  return {code_of(error_number), str_cat("[io] cannot ", action, " ", path, ": ",
                                         std::generic_category().message(error_number))};
}

}  // namespace titan
