// s3.h: s3://bucket/key as signed requests, and the objects below a prefix.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/remote/http_transfer.h"

namespace titan {

struct S3Address {
  std::string bucket;
  std::string key;  ///< may be empty or a prefix
};
/// kInvalidArgument where it is no s3://bucket/key.
StatusOr<S3Address> parse_s3_url(const std::string& url);

/// The request for any address that is_remote_url() knows. s3 is signed by libcurl (Signature
/// Version 4) with find_s3_credentials(), or left unsigned where there are none.
/// AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL names another service (MinIO and others), asked with the
/// bucket in the path.
StatusOr<HttpRequest> remote_request(const std::string& url);

struct S3Object {
  std::string url;  ///< s3://bucket/key
  std::uint64_t size_bytes = 0;
  std::string etag;
};

/// All objects whose key begins with that of `url` (ListObjectsV2, page by page), sorted by key.
StatusOr<std::vector<S3Object>> list_s3(const std::string& url, const HttpOptions& options);

/// One page of a listing.
struct S3Page {
  std::vector<S3Object> objects;
  std::string next;  ///< token of the next page; empty = the last
};
/// kDataLoss where `xml` is no listing.
StatusOr<S3Page> parse_s3_page(const std::string& xml, const std::string& bucket);

}  // namespace titan
