#include "tests/support/catch.h"

#include <sys/resource.h>
#include <chrono>
#include <csignal>
#include <sstream>
#include <thread>

#include "titan/io/remote/http_retry.h"
#include "titan/io/remote/url.h"

#include "tests/io/remote_fixture.h"

namespace titan {
namespace {

using absl::StatusCode;
using Catch::Matchers::Contains;
using testing::can_serve;
using testing::Remote;

constexpr std::size_t kSize = 300'000;

TEST_CASE("Addresses in messages carry no secrets", "[io]") {
  CHECK(shown_url("https://me:pass@host/a/b.tar?X-Amz-Signature=abc#x") == "https://host/a/b.tar");
  CHECK(shown_url("http://host?token=1") == "http://host");
  CHECK(shown_url("http://host/a@b.tar") == "http://host/a@b.tar");
  CHECK(shown_url("s3://bucket/a?b") == "s3://bucket/a?b");
  CHECK(url_basename("http://h/a/b.tar?x=/c") == "b.tar");
  CHECK(url_basename("http://h") == "");
  CHECK(url_folder("http://h/a/b.tar?x=1") == "http://h/a/");
  CHECK(url_folder("http://h") == "http://h/");
  CHECK(is_remote_url("HTTPS://h/x"));
  CHECK_FALSE(is_remote_url("httpx://h/x"));
  CHECK(percent_encode("a/b c+\xc3\xa9~", true) == "a/b%20c%2B%C3%A9~");
  CHECK(percent_encode("a/b", false) == "a%2Fb");
}

TEST_CASE("A download comes whole through every fault that passes", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const Remote remote;
  const std::string bytes = testing::numbered_bytes(kSize);
  remote.folder.write("a.bin", bytes);
  const std::string target = remote.here.file("a.bin");
  const auto fetch = [&](const std::string& fault, const RemoteFile& expected = {}) {
    std::filesystem::remove(target);
    std::filesystem::remove(target + ".json");
    const Status status =
        http_download(remote.request(fault + "/a.bin"), remote.options, expected, target);
    return status.ok() ? testing::slurp(target) : message_of(status);
  };
  const auto requests = [&](const std::string& fault) {
    std::string found;
    std::istringstream lines(remote.log());
    for (std::string line; std::getline(lines, line);)
      if (line.find("/" + fault + "/") != std::string::npos)
        found += line.substr(line.rfind(' ') + 1) + ";";
    return found;
  };
  const std::string half = std::to_string(kSize / 2);
  CHECK(fetch("files") == bytes);
  CHECK(fetch("500twice") == bytes);
  CHECK(requests("500twice") == "-;-;-;");
  CHECK(fetch("broken") == bytes);
  CHECK(requests("broken") == "-;bytes=" + half + "-;");  // goes on where it stopped
  CHECK(fetch("stall") == bytes);
  CHECK(requests("stall") == "-;bytes=" + half + "-;");
  CHECK(fetch("brokennorange") == bytes);  // answers 200 to a range: from the start
  CHECK(requests("brokennorange") == "-;bytes=" + half + "-;");
  CHECK(fetch("noetag") == bytes);  // nothing to resume by: from the start
  CHECK(requests("noetag") == "-;-;");
  CHECK(fetch("misrange") == bytes);  // 206, but of other bytes
  CHECK(fetch("chunked") == bytes);   // breaks off without a length
  CHECK(fetch("redirect") == bytes);
  CHECK(fetch("newetag") == std::string(bytes.rbegin(), bytes.rend()));  // no mixture of the two
  const auto start = std::chrono::steady_clock::now();
  CHECK(fetch("429") == bytes);  // Retry-After: 1, though our own pause is 10 ms
  CHECK(std::chrono::steady_clock::now() - start > std::chrono::milliseconds(950));

  // Announced by an index: another size or version on the server is not taken.
  CHECK(fetch("files", {.size_bytes = kSize, .etag = {}, .last_modified = {}}) == bytes);
  CHECK_THAT(fetch("files", {.size_bytes = 7, .etag = {}, .last_modified = {}}),
             Contains("has 300000 bytes, not 7") && Contains(remote.server.url("files/a.bin")));
  CHECK_THAT(fetch("files", {.size_bytes = {}, .etag = "\"old\"", .last_modified = {}}),
             Contains("another one now"));
}

TEST_CASE("Empty files and parts left by another run", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const Remote remote;
  remote.folder.write("empty.bin", "");
  const std::string bytes = testing::numbered_bytes(1000);
  remote.folder.write("a.bin", bytes);
  const auto fetch = [&](const std::string& name, const std::string& target) {
    const Status status =
        http_download(remote.request("files/" + name), remote.options, {}, target);
    return status.ok() ? testing::slurp(target) : message_of(status);
  };
  CHECK(fetch("empty.bin", remote.here.file("e")) == "");
  CHECK(std::filesystem::exists(remote.here.file("e")));
  const std::string whole = remote.here.file("w");
  CHECK(fetch("a.bin", whole) == bytes);
  CHECK(fetch("a.bin", whole) == bytes);  // already whole: 416
  CHECK(fetch("a.bin", remote.here.write("unknown", "bytes of whoever")) == bytes);
  const std::string note = testing::slurp(whole + ".json");
  remote.here.write("long", bytes + "and more");
  remote.here.write("long.json", note);
  CHECK(fetch("a.bin", remote.here.file("long")) == bytes);
  remote.here.write("good", bytes.substr(0, 10));
  remote.here.write("good.json", note);
  CHECK(fetch("a.bin", remote.here.file("good")) == bytes);
  CHECK_THAT(remote.log(), Contains("bytes=10-"));
  remote.here.write("bad", "xxx");
  remote.here.write("bad.json", "{\"etag\": 3}");
  CHECK(fetch("a.bin", remote.here.file("bad")) == bytes);
}

TEST_CASE("An attempt that the deadline cuts short does not hide why those before it failed",
          "[io]") {
  HttpRequest request;
  request.url = "http://nowhere/a.bin";
  HttpOptions options;
  options.deadline_s = 0.05;
  options.first_pause_s = 0.001;
  int attempts = 0;
  const HttpOutcome outcome = retry_http(request, options, [&](double time_left_s) {
    const bool cut = attempts++ > 0;
    if (cut) std::this_thread::sleep_for(std::chrono::duration<double>(time_left_s + 0.01));
    return HttpAttempt{{.status = Status(StatusCode::kUnavailable, cut ? "timed out" : "HTTP 503"),
                        .transient = true,
                        .answer = {}}};
  });
  CHECK_THAT(message_of(outcome.status),
             Contains("HTTP 503, then timed out; given up after 2 attempts"));
}

TEST_CASE("What does not pass is an error that names address, cause and attempts", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  Remote remote;
  remote.folder.write("a.bin", testing::numbered_bytes(1000));
  remote.options.deadline_s = 0.5;
  const auto error = [&](const std::string& path) {
    const Status status = http_download(remote.request(path + "?token=hidden"), remote.options, {},
                                        remote.here.file("x"));
    CHECK_THAT(message_of(status), Contains(remote.server.url(path)) && !Contains("hidden"));
    return status;
  };
  CHECK(error("files/absent").code() == StatusCode::kNotFound);
  CHECK_THAT(message_of(error("404/a.bin")), Contains("HTTP 404"));
  CHECK(error("403/a.bin").code() == StatusCode::kPermissionDenied);
  CHECK(error("401/a.bin").code() == StatusCode::kPermissionDenied);
  CHECK(error("400/a.bin").code() == StatusCode::kFailedPrecondition);
  const Status loop = error("loop/a.bin");
  CHECK(loop.code() == StatusCode::kFailedPrecondition);
  CHECK_THAT(message_of(loop), Contains("redirected more than 8 times"));
  const Status down = error("503/a.bin");
  CHECK(down.code() == StatusCode::kUnavailable);
  CHECK_THAT(message_of(down), Contains("HTTP 503") && Contains("given up after") &&
                                   Contains("attempts") && Contains("remote_deadline_s"));
  const Status busy = error("429long/a.bin");
  CHECK(busy.code() == StatusCode::kUnavailable);
  CHECK_THAT(message_of(busy), Contains("asks to wait 10m 00s") && Contains("after 1 attempt "));
  CHECK(error("brokenalways/a.bin").code() == StatusCode::kUnavailable);
  remote.options.deadline_s = 1.5;
  const Status stall = error("stallalways/a.bin");
  CHECK(stall.code() == StatusCode::kUnavailable);
  CHECK_THAT(message_of(stall), Contains("stalled") || Contains("timed out"));

  HttpRequest nobody;
  nobody.url = "http://127.0.0.1:1/a";
  remote.options.deadline_s = 0.2;
  CHECK_THAT(message_of(http_stat(nobody, remote.options).status()), Contains("127.0.0.1"));
  nobody.url = "ftp://host/a";
  CHECK(http_stat(nobody, remote.options).status().code() == StatusCode::kInvalidArgument);
  CHECK_THAT(message_of(remote_request("ftp://host/a").status()), Contains("not an http"));
}

TEST_CASE("A hostile server gets no file of ours, no memory and no disk", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  Remote remote;
  remote.folder.write("a.bin", testing::numbered_bytes(1000));
  remote.options.deadline_s = 20;
  const auto download = [&](const std::string& path, const RemoteFile& expected) {
    const std::string part = remote.here.file("x" + std::to_string(path.size()));
    const Status status = http_download(remote.request(path), remote.options, expected, part);
    CHECK(std::filesystem::file_size(part) <= 200'000);
    return status;
  };
  // To the local disk: refused, not followed, not tried again.
  const StatusOr<std::string> file =
      http_get(remote.request("tofile/a.bin"), remote.options, 1 << 20);
  CHECK(file.status().code() == StatusCode::kInvalidArgument);
  CHECK_THAT(message_of(file.status()), Contains("not an address of a server"));

  const Status head = http_get(remote.request("longhead/a.bin"), remote.options, 1 << 20).status();
  CHECK(head.code() == StatusCode::kDataLoss);
  CHECK_THAT(message_of(head), Contains("headers are longer than 262144 bytes"));

  // A body without end: at the length that an index or an earlier answer gave, else at the limit.
  const RemoteFile announced{.size_bytes = 150'000, .etag = {}, .last_modified = {}};
  CHECK_THAT(message_of(download("endless/a.bin", announced)),
             Contains("more than the 150000 bytes announced"));
  remote.options.max_body_bytes = 180'000;
  CHECK_THAT(message_of(download("endless/a.bin?2", {})),
             Contains("more than the 180000 bytes allowed"));
  CHECK_THAT(message_of(http_get(remote.request("endless/a.bin"), remote.options, 1000).status()),
             Contains("larger than 1000 bytes"));
}

TEST_CASE("Size, version and small files are asked for", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const Remote remote;
  remote.folder.write("a.bin", testing::numbered_bytes(1000));
  const auto stat = [&](const std::string& path) {
    return http_stat(remote.request(path), remote.options);
  };
  const RemoteFile whole = *stat("files/a.bin");
  CHECK(whole.size_bytes == 1000);
  CHECK(whole.etag.size() == 34);
  CHECK(whole.version() == whole.etag);
  const RemoteFile by_byte = *stat("nohead/a.bin");  // HEAD is refused: by the first byte
  CHECK(by_byte.size_bytes == 1000);
  CHECK(by_byte.etag == whole.etag);
  CHECK_FALSE(stat("chunked/a.bin")->size_bytes.has_value());
  CHECK(stat("files/absent").status().code() == StatusCode::kNotFound);
  CHECK(stat("403/a.bin").status().code() == StatusCode::kPermissionDenied);
  CHECK(http_get(remote.request("500twice/a.bin"), remote.options, 1000)->size() == 1000);
  const Status large = http_get(remote.request("files/a.bin"), remote.options, 999).status();
  CHECK(large.code() == StatusCode::kDataLoss);
  CHECK_THAT(message_of(large), Contains("larger than 999 bytes"));
}

TEST_CASE("A full disk ends a download at once and leaves nothing", "[io]") {
  if (!can_serve()) TITAN_SKIP(testing::kNoServer);
  const Remote remote;
  remote.folder.write("a.bin", testing::numbered_bytes(kSize));
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 100'000, .rlim_max = before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);  // files may grow no further: as on a full disk
  const Status status =
      http_download(remote.request("files/a.bin"), remote.options, {}, remote.here.file("x"));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  CHECK(status.code() == StatusCode::kResourceExhausted);
  CHECK_THAT(message_of(status), Contains(remote.here.file("x")));
  CHECK(std::filesystem::is_empty(remote.here.path()));
}

}  // namespace
}  // namespace titan
