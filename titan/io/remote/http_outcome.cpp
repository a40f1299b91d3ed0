#include "titan/io/remote/http_outcome.h"

#include <utility>

#include "titan/base/printable.h"

namespace titan {
namespace {

/// Text between <tag> and </tag>: S3 explains its errors so.
std::string tagged(const std::string& text, const std::string& tag) {
  const std::size_t start = text.find("<" + tag + ">");
  const std::size_t end = text.find("</" + tag + ">");
  if (start == std::string::npos || end == std::string::npos || end < start) return "";
  return text.substr(start + tag.size() + 2, end - start - tag.size() - 2);
}

std::string explain(const HttpAnswer& answer) {
  std::string text = str_cat("the server answers HTTP ", answer.code);
  if (const std::string code = tagged(answer.error_text, "Code"); !code.empty())
    text +=
        str_cat(" (", printable(code), ": ", printable(tagged(answer.error_text, "Message")), ")");
  if (!answer.bucket_region.empty() && (answer.code == 301 || answer.code == 400))
    text += str_cat("; the bucket lies in region ", printable(answer.bucket_region),
                    ": set AWS_REGION");
  return text;
}

}  // namespace

HttpOutcome outcome_of(const HttpAnswer& answer) {
  using Code = absl::StatusCode;
  HttpOutcome outcome{.status = ok_status(), .transient = false, .answer = answer};
  if (answer.code / 100 == 2) return outcome;
  const auto fail = [&](Code code, bool transient) {
    outcome.status = Status(code, explain(answer));
    outcome.transient = transient;
    return outcome;
  };
  switch (answer.code) {
    case 404:
    case 410:
      return fail(Code::kNotFound, false);
    case 401:
    case 403:
    case 407:
      return fail(Code::kPermissionDenied, false);
    case 416:
      return fail(Code::kOutOfRange, false);
    case 408:
    case 425:
    case 429:
      return fail(Code::kUnavailable, true);
    default:
      // 501 and 505: the server cannot do this, today or tomorrow.
      if (answer.code >= 500 && answer.code != 501 && answer.code != 505)
        return fail(Code::kUnavailable, true);
      return fail(Code::kFailedPrecondition, false);
  }
}

HttpOutcome outcome_of_failure(CURLcode code, const std::string& text, const HttpOptions& options) {
  const auto lasting = [](Status status) {
    return HttpOutcome{.status = std::move(status), .transient = false, .answer = {}};
  };
  switch (code) {
    case CURLE_WRITE_ERROR:
      return lasting(internal_error(text));
    case CURLE_ABORTED_BY_CALLBACK:
      return lasting(Status(absl::StatusCode::kCancelled, "the transfer was cancelled"));
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return lasting(invalid_argument("not an address of a server (", text, ")"));
    case CURLE_TOO_MANY_REDIRECTS:
      return lasting(failed_precondition("redirected more than ", options.max_redirects, " times"));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return lasting(failed_precondition("its certificate is not trusted (", text, ")"));
    default:
      return {
          .status = Status(absl::StatusCode::kUnavailable, text), .transient = true, .answer = {}};
  }
}

}  // namespace titan
