// http_transfer.h: one exchange with a server through libcurl, without any retry.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/status.h"

namespace titan {

struct HttpOptions {
  double deadline_s = 300;  ///< everything together: attempts, pauses, the transfer itself
  double connect_timeout_s = 15;
  double stall_s = 20;  ///< an attempt slower than stall_bytes_per_s for so long is given up
  int64_t stall_bytes_per_s = 1024;
  int64_t max_redirects = 8;
  /// Of a download whose length nobody announced.
  std::uint64_t max_body_bytes = std::uint64_t{1} << 40;
  double first_pause_s = 0.2;  ///< doubled with each attempt, drawn between half and all of it
  double max_pause_s = 10;
  const std::atomic<bool>* cancelled = nullptr;  ///< once true, transfers end within a second
};

/// What to ask for, and as whom.
struct HttpRequest {
  std::string url;                   ///< http or https
  std::string shown;                 ///< for messages; empty = shown_url(url)
  std::vector<std::string> headers;  ///< "Name: value"
  std::string sigv4;                 ///< CURLOPT_AWS_SIGV4 ("aws:amz:us-east-1:s3"), or empty
  std::string user_password;         ///< "key:secret" of the signature, or empty
  bool head = false;

  std::string name() const;
};

/// Status line and headers of the last answer (redirects are followed).
struct HttpAnswer {
  int64_t code = 0;
  std::string etag;           ///< as sent, quotes and W/ included
  std::string last_modified;  ///< as sent
  std::optional<std::uint64_t> content_length;
  std::optional<std::uint64_t> range_first;  ///< of Content-Range
  std::optional<std::uint64_t> range_total;
  std::string bucket_region;  ///< x-amz-bucket-region
  std::string error_text;     ///< start of the body where the code is no 2xx
  double retry_after_s = 0;
};

/// Receives the body of a 2xx answer piece by piece; an error ends the transfer.
using BodySink =
    std::function<Status(const HttpAnswer& answer, const char* data, std::size_t size)>;

struct HttpOutcome {
  Status status;           ///< of the transfer; an answer of 4xx or 5xx is a status too
  bool transient = false;  ///< trying again may help
  HttpAnswer answer;
};

/// Connections are kept open per thread. `time_left_s` bounds the exchange.
HttpOutcome transfer_once(const HttpRequest& request, const HttpOptions& options,
                          double time_left_s, const BodySink& sink);

}  // namespace titan
