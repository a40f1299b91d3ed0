// status.h: absl::Status at the edges (config, files, environment, command line).
// Debian 12's absl::string_view is a class of its own: messages cross that border as std::string.
#pragma once

#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "titan/base/check.h"

namespace titan {

using absl::Status;
using absl::StatusOr;

/// Nothing went wrong.
inline Status ok_status() { return absl::OkStatus(); }

/// Bad input: exit code 2. The parts are joined to the message.
template <class... Parts>
Status invalid_argument(const Parts&... parts) {
  return {absl::StatusCode::kInvalidArgument, str_cat(parts...)};
}
/// Something that was named is not there: exit code 2.
template <class... Parts>
Status not_found(const Parts&... parts) {
  return {absl::StatusCode::kNotFound, str_cat(parts...)};
}
/// The state of things forbids it: exit code 2.
template <class... Parts>
Status failed_precondition(const Parts&... parts) {
  return {absl::StatusCode::kFailedPrecondition, str_cat(parts...)};
}
/// Damaged or truncated input data.
template <class... Parts>
Status data_loss(const Parts&... parts) {
  return {absl::StatusCode::kDataLoss, str_cat(parts...)};
}
/// A failure of the machine (I/O error, disk full), not of the user's input.
template <class... Parts>
Status internal_error(const Parts&... parts) {
  return {absl::StatusCode::kInternal, str_cat(parts...)};
}

/// The status' message as std::string.
inline std::string message_of(const Status& status) { return std::string(status.message()); }

/// Puts `context` and ": " in front of an error's message; keeps its code.
inline Status annotate(const Status& status, const std::string& context) {
  return status.ok() ? status : Status(status.code(), str_cat(context, ": ", message_of(status)));
}

/// Exit code for an error that reached an edge: 2 for bad input, 1 for anything else.
int exit_code_for(const Status& status);

}  // namespace titan

#define TITAN_STATUS_CONCAT_INNER(a, b) a##b
#define TITAN_STATUS_CONCAT(a, b) TITAN_STATUS_CONCAT_INNER(a, b)

#define TITAN_RETURN_IF_ERROR(expression)                                                    \
  do {                                                                                       \
    if (::absl::Status titan_status = (expression); !titan_status.ok()) return titan_status; \
  } while (false)

/// TITAN_ASSIGN_OR_RETURN(auto value, function_returning_status_or());
#define TITAN_ASSIGN_OR_RETURN(declaration, expression)                                      \
  TITAN_ASSIGN_OR_RETURN_INNER(TITAN_STATUS_CONCAT(titan_status_or_, __LINE__), declaration, \
                               expression)
#define TITAN_ASSIGN_OR_RETURN_INNER(temporary, declaration, expression) \
  auto temporary = (expression);                                         \
  if (!temporary.ok()) return temporary.status();                        \
  declaration = std::move(temporary).value()
