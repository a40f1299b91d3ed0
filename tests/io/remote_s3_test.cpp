#include "tests/support/catch.h"

#include "titan/io/remote/s3_credentials.h"

#include "tests/io/remote_fixture.h"

namespace titan {
namespace {

using absl::StatusCode;
using Catch::Matchers::Contains;
using testing::can_serve;
using testing::Environment;
using testing::Remote;
using testing::Variables;

const Variables kNobody = {{"AWS_ACCESS_KEY_ID", ""},    {"AWS_SECRET_ACCESS_KEY", ""},
                           {"AWS_SESSION_TOKEN", ""},    {"AWS_PROFILE", ""},
                           {"AWS_REGION", ""},           {"AWS_DEFAULT_REGION", ""},
                           {"AWS_ENDPOINT_URL", ""},     {"AWS_ENDPOINT_URL_S3", ""},
                           {"AWS_CONFIG_FILE", "/none"}, {"AWS_SHARED_CREDENTIALS_FILE", "/none"}};

TEST_CASE("Objects and listings are asked for with a right signature", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const Remote remote;
  const Environment environment(remote.server.s3_variables());
  for (const char* name : {"p/c d+e.tar", "p/a.tar", "p/b&b.tar", "p/deep/\u00e9.tar", "q/x.tar"})
    remote.folder.write(name, std::string("bytes of ") + name);
  const auto get = [&](const std::string& key) {
    return http_get(*remote_request("s3://bucket/" + key), remote.options, 1000);
  };
  const StatusOr<std::string> first = get("p/a.tar");
  INFO(message_of(first.status()));
  REQUIRE(first.ok());
  CHECK(*get("p/c d+e.tar") == "bytes of p/c d+e.tar");
  CHECK(*get("p/deep/\u00e9.tar") == "bytes of p/deep/\u00e9.tar");
  const std::vector<S3Object> objects = *list_s3("s3://bucket/p/", remote.options);
  REQUIRE(objects.size() == 4);  // two pages; the token needs escaping
  CHECK(objects[0].url == "s3://bucket/p/a.tar");
  CHECK(objects[1].url == "s3://bucket/p/b&b.tar");
  CHECK(objects[2].url == "s3://bucket/p/c d+e.tar");
  CHECK(objects[3].url == "s3://bucket/p/deep/\u00e9.tar");
  CHECK(objects[0].size_bytes == 16);
  CHECK(objects[0].etag == http_stat(*remote_request(objects[0].url), remote.options)->etag);
  CHECK_THAT(remote.log(), Contains("continuation-token=a%26b%3D"));
  CHECK(list_s3("s3://bucket/none/", remote.options)->empty());

  // A part goes on with a signed range.
  remote.folder.write("p/long.bin", testing::numbered_bytes(1000));
  REQUIRE(http_download(*remote_request("s3://bucket/p/long.bin"), remote.options, {},
                        remote.here.file("l"))
              .ok());
  std::filesystem::resize_file(remote.here.file("l"), 100);
  REQUIRE(http_download(*remote_request("s3://bucket/p/long.bin"), remote.options, {},
                        remote.here.file("l"))
              .ok());
  CHECK(testing::slurp(remote.here.file("l")) == testing::numbered_bytes(1000));
  CHECK_THAT(remote.log(), Contains("bytes=100-"));

  const Status absent = get("p/absent.tar").status();
  CHECK(absent.code() == StatusCode::kNotFound);
  CHECK_THAT(message_of(absent), Contains("s3://bucket/p/absent.tar") && Contains("NoSuchKey"));
  const Environment wrong(Variables{{"AWS_SECRET_ACCESS_KEY", "another"}});
  const Status refused = get("p/a.tar").status();
  CHECK(refused.code() == StatusCode::kPermissionDenied);
  CHECK_THAT(message_of(refused), Contains("SignatureDoesNotMatch") && !Contains("another"));
}

TEST_CASE("Without credentials a bucket is asked unsigned", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const Remote remote;
  const Environment nobody(kNobody);
  const Environment endpoint(Variables{{"AWS_ENDPOINT_URL", remote.server.root() + "/"}});
  remote.folder.write("public/a.tar", "open");
  remote.folder.write("p/a.tar", "closed");
  CHECK(*http_get(*remote_request("s3://bucket/public/a.tar"), remote.options, 10) == "open");
  const Status refused =
      http_get(*remote_request("s3://bucket/p/a.tar"), remote.options, 10).status();
  CHECK(refused.code() == StatusCode::kPermissionDenied);
  CHECK_THAT(message_of(refused),
             Contains("asked without credentials") && Contains("AccessDenied"));
}

TEST_CASE("Credentials, region and host are found as AWS's own tools find them", "[io]") {
  const testing::TemporaryFolder folder;
  const Environment nobody(kNobody);
  CHECK_FALSE(find_s3_credentials()->has_value());
  CHECK(find_s3_region() == "us-east-1");
  CHECK(remote_request("s3://bucket/a b/c")->url ==
        "https://bucket.s3.us-east-1.amazonaws.com/a%20b/c");
  CHECK(remote_request("s3://dotted.bucket/a")->url ==
        "https://s3.us-east-1.amazonaws.com/dotted.bucket/a");
  const Environment files(Variables{
      {"AWS_SHARED_CREDENTIALS_FILE",
       folder.write("credentials",
                    "# mine\n[default]\naws_access_key_id = K1\naws_secret_access_key=S/1\n"
                    "[half]\naws_access_key_id=K2\n[ other ]\naws_access_key_id=K3\r\n"
                    "aws_secret_access_key=S3\r\naws_session_token=T3\n")},
      {"AWS_CONFIG_FILE", folder.write("config", "[profile other]\nregion = eu-x-1\n")}});
  CHECK((*find_s3_credentials())->key_id == "K1");
  CHECK((*find_s3_credentials())->secret == "S/1");
  CHECK(remote_request("s3://b/k")->user_password == "K1:S/1");
  {
    const Environment other(Variables{{"AWS_PROFILE", "other"}});
    CHECK((*find_s3_credentials())->session_token == "T3");
    CHECK(remote_request("s3://b/k")->sigv4 == "aws:amz:eu-x-1:s3");
  }
  const auto error_as = [](const Variables& variables) {
    const Environment changed(variables);
    const Status status = remote_request("s3://b/k").status();
    CHECK(status.code() != StatusCode::kOk);
    return message_of(status);
  };
  CHECK_THAT(error_as({{"AWS_PROFILE", "absent"}}), Contains("AWS_PROFILE") && Contains("absent"));
  CHECK_THAT(error_as({{"AWS_PROFILE", "half"}}), Contains("aws_secret_access_key"));
  CHECK_THAT(error_as({{"AWS_ACCESS_KEY_ID", "K"}}), Contains("AWS_ACCESS_KEY_ID is set without"));
  CHECK_THAT(error_as({{"AWS_SECRET_ACCESS_KEY", "hidden"}}),
             Contains("AWS_SECRET_ACCESS_KEY is set without") && !Contains("hidden"));
  CHECK_THAT(error_as({{"AWS_REGION", "eu/../x"}}), Contains("no region"));
  CHECK_THAT(message_of(remote_request("s3:///key").status()), Contains("no bucket"));
  CHECK_THAT(message_of(remote_request("s3://host:80@x/key").status()), Contains("no bucket"));
}

TEST_CASE("A listing that is none says why", "[io]") {
  const auto error = [](const std::string& xml) {
    return message_of(parse_s3_page(xml, "b").status());
  };
  CHECK_THAT(error("<html><p></html>"), Contains("no XML"));
  CHECK_THAT(error(""), Contains("no XML"));
  CHECK_THAT(error("<html/>"), Contains("no ListBucketResult"));
  CHECK_THAT(error("<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>"),
             Contains("without key or size"));
  CHECK_THAT(error("<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents>"
                   "</ListBucketResult>"),
             Contains("without key or size"));
  CHECK_THAT(error("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"),
             Contains("token"));
  CHECK(parse_s3_page("<ListBucketResult/>", "b")->objects.empty());
}

}  // namespace
}  // namespace titan
