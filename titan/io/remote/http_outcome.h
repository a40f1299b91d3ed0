// http_outcome.h: what a server's answer, or libcurl's failure to get one, means for the caller.
#pragma once

#include <curl/curl.h>

#include <string>

#include "titan/io/remote/http_transfer.h"

namespace titan {

/// The status of an answer by its code (http.h lists them), with the server's own words where it is
/// S3; transient where the same request may go well later.
HttpOutcome outcome_of(const HttpAnswer& answer);

/// The status of a transfer that ended without an answer; `text` is libcurl's explanation.
HttpOutcome outcome_of_failure(CURLcode code, const std::string& text, const HttpOptions& options);

}  // namespace titan
