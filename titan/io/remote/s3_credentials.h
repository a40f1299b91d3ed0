// s3_credentials.h: who we are to an S3 service, as the AWS command line finds it.
#pragma once

#include <optional>
#include <string>

#include "titan/base/status.h"

namespace titan {

struct S3Credentials {
  std::string key_id;
  std::string secret;
  std::string session_token;  ///< empty for long-lived keys
};

/// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; else the profile AWS_PROFILE
/// (default: "default") of ~/.aws/credentials (AWS_SHARED_CREDENTIALS_FILE). None at all is no
/// error: public buckets need none. kFailedPrecondition: half a pair, or a named profile that is
/// not there. Values are never part of a message.
StatusOr<std::optional<S3Credentials>> find_s3_credentials();

/// AWS_REGION, AWS_DEFAULT_REGION, the profile's region in ~/.aws/config, else us-east-1.
std::string find_s3_region();

}  // namespace titan
