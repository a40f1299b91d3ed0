#include "titan/io/remote/s3.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <utility>

#include "titan/base/printable.h"
#include "titan/io/remote/http.h"
#include "titan/io/remote/s3_credentials.h"
#include "titan/io/remote/url.h"

namespace titan {
namespace {

constexpr std::uint64_t kMaxPageBytes = 64ULL << 20;
/// SHA-256 of nothing: what a request without a body signs.
constexpr const char* kEmptyHash =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string endpoint() {
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string url = value;
    while (url.ends_with('/')) url.pop_back();
    return url;
  }
  return "";
}

/// Where a bucket answers, without a '/' at the end.
std::string bucket_url(const std::string& bucket, const std::string& region) {
  if (const std::string own = endpoint(); !own.empty()) return own + "/" + bucket;
  // The certificate is for *.s3.<region>: a bucket with dots in its name does not fit it.
  if (bucket.find('.') != std::string::npos)
    return str_cat("https://s3.", region, ".amazonaws.com/", bucket);
  return str_cat("https://", bucket, ".s3.", region, ".amazonaws.com");
}

bool fits(const std::string& text, const char* others) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string(others).find(c) != std::string::npos;
  });
}

bool one_line(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= ' '; });
}

/// `path_and_query` begins with '/', or is empty.
StatusOr<HttpRequest> signed_request(const S3Address& address, const std::string& path_and_query) {
  const std::string region = find_s3_region();
  if (!fits(region, "-"))
    return invalid_argument("[s3] AWS_REGION is no region (", printable(region), ")");
  TITAN_ASSIGN_OR_RETURN(const std::optional<S3Credentials> who, find_s3_credentials());
  HttpRequest request;
  request.url = bucket_url(address.bucket, region) + path_and_query;
  request.shown = str_cat("s3://", address.bucket, "/", printable(address.key, 300));
  if (!who) {
    request.shown += " (asked without credentials)";
    return request;
  }
  if (!one_line(who->session_token) || !one_line(who->key_id + who->secret))
    return failed_precondition("[s3] the credentials hold control characters");
  request.sigv4 = "aws:amz:" + region + ":s3";
  request.user_password = who->key_id + ":" + who->secret;
  request.headers.push_back(str_cat("x-amz-content-sha256: ", kEmptyHash));
  if (!who->session_token.empty())
    request.headers.push_back("x-amz-security-token: " + who->session_token);
  return request;
}

}  // namespace

StatusOr<S3Address> parse_s3_url(const std::string& url) {
  if (!is_s3_url(url)) return invalid_argument("[s3] not an s3:// address (", printable(url), ")");
  const std::size_t start = 5;
  const std::size_t slash = std::min(url.find('/', start), url.size());
  S3Address address{.bucket = url.substr(start, slash - start),
                    .key = slash < url.size() ? url.substr(slash + 1) : ""};
  // Also keeps the bucket from being more of an address than a name.
  if (!fits(address.bucket, ".-_"))
    return invalid_argument("[s3] no bucket in ", printable(url, 300),
                            " (wanted: s3://bucket/key)");
  return address;
}

StatusOr<HttpRequest> remote_request(const std::string& url) {
  if (!is_remote_url(url))
    return invalid_argument("[http] not an http, https or s3 address (", printable(url, 300), ")");
  if (!is_s3_url(url)) {
    HttpRequest request;
    request.url = url;
    return request;
  }
  TITAN_ASSIGN_OR_RETURN(const S3Address address, parse_s3_url(url));
  return signed_request(address, "/" + percent_encode(address.key, /*keep_slash=*/true));
}

StatusOr<std::vector<S3Object>> list_s3(const std::string& url, const HttpOptions& options) {
  TITAN_ASSIGN_OR_RETURN(const S3Address address, parse_s3_url(url));
  std::vector<S3Object> objects;
  for (std::string token;;) {
    // Sorted by name: the signature covers the query in this order.
    std::string query = "/?";
    if (!token.empty())
      query += "continuation-token=" + percent_encode(token, /*keep_slash=*/false) + "&";
    query +=
        "encoding-type=url&list-type=2&prefix=" + percent_encode(address.key, /*keep_slash=*/false);
    TITAN_ASSIGN_OR_RETURN(const HttpRequest request, signed_request(address, query));
    TITAN_ASSIGN_OR_RETURN(const std::string xml, http_get(request, options, kMaxPageBytes));
    StatusOr<S3Page> page = parse_s3_page(xml, address.bucket);
    if (!page.ok()) return annotate(page.status(), "[s3] the listing of " + request.name());
    std::move(page->objects.begin(), page->objects.end(), std::back_inserter(objects));
    if (page->next.empty()) break;
    if (page->next == token)
      return data_loss("[s3] the listing of ", request.name(), " never ends");
    token = page->next;
  }
  std::sort(objects.begin(), objects.end(),
            [](const S3Object& a, const S3Object& b) { return a.url < b.url; });
  return objects;
}

}  // namespace titan
