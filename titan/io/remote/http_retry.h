// http_retry.h: tries an exchange again, with growing pauses, until a deadline.
#pragma once

#include <functional>

#include "titan/io/remote/http_transfer.h"

namespace titan {

struct HttpAttempt {
  HttpOutcome outcome;
  bool got_on = false;  ///< more bytes than before: the pauses start small again
};

/// Runs `attempt` (argument: seconds left) until it ends without a transient error. Pauses double
/// from options.first_pause_s to max_pause_s, each drawn between half and the whole, or last as
/// long as Retry-After asks. The last outcome, its message with address, cause and attempts.
HttpOutcome retry_http(const HttpRequest& request, const HttpOptions& options,
                       const std::function<HttpAttempt(double time_left_s)>& attempt);

}  // namespace titan
