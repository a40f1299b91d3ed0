#include "titan/io/remote/http_transfer.h"

#include <curl/curl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <memory>
#include <mutex>

#include "titan/base/human.h"
#include "titan/io/remote/http_outcome.h"
#include "titan/io/remote/url.h"

namespace titan {
namespace {

constexpr std::size_t kMaxErrorText = 4096;

using Handle = std::unique_ptr<CURL, void (*)(CURL*)>;

/// A thread's handle keeps its connections between requests. A forked child starts with none: the
/// parent still speaks on the ones it would inherit.
CURL* thread_handle() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  thread_local Handle handle(nullptr, curl_easy_cleanup);
  thread_local pid_t owner = 0;
  if (owner != ::getpid()) {
    static_cast<void>(handle.release());
    handle.reset(curl_easy_init());
    owner = ::getpid();
  }
  TITAN_CHECK(handle != nullptr, "[http] libcurl gives no handle");
  curl_easy_reset(handle.get());
  return handle.get();
}

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// "bytes 100-199/1000" or "bytes */1000".
void read_content_range(const std::string& value, HttpAnswer& answer) {
  const std::size_t space = value.find(' ');
  const std::size_t slash = value.find('/');
  if (space == std::string::npos || slash == std::string::npos || slash < space) return;
  const std::string range = value.substr(space + 1, slash - space - 1);
  answer.range_first = number(range.substr(0, range.find('-')));
  answer.range_total = number(value.substr(slash + 1));
}

using Clock = std::chrono::steady_clock;

struct Exchange {
  CURL* handle;
  const BodySink& sink;
  const HttpOptions& options;
  HttpAnswer answer;
  Status sink_status;
  std::size_t head_bytes = 0;
  Clock::time_point watched_since = Clock::now();
  curl_off_t watched_bytes = 0;
  bool stalled = false;

  /// libcurl's own watch for slow transfers goes by the mean of several seconds: a fast beginning
  /// hides what follows. Here each stretch of stall_s counts by itself.
  bool goes_on(curl_off_t bytes) {
    if (options.cancelled != nullptr && options.cancelled->load()) return false;
    const double seconds = std::chrono::duration<double>(Clock::now() - watched_since).count();
    if (seconds < options.stall_s) return true;
    stalled = static_cast<double>(bytes - watched_bytes) <
              seconds * static_cast<double>(options.stall_bytes_per_s);
    watched_since = Clock::now();
    watched_bytes = bytes;
    return !stalled;
  }

  /// False where the head of the answers, redirects included, is longer than any server's.
  bool header(const std::string& line) {
    constexpr std::size_t kMaxHeadBytes = 256 << 10;
    head_bytes += line.size();
    if (head_bytes > kMaxHeadBytes) {
      sink_status = data_loss("its headers are longer than ", kMaxHeadBytes, " bytes");
      return false;
    }
    if (line.starts_with("HTTP/")) {  // of a redirect or "100 Continue" before: forget it
      answer = {};
      return true;
    }
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos) take_header(line, colon);
    return true;
  }

  void take_header(const std::string& line, std::size_t colon) {
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    std::string value =
        line.substr(std::min(line.find_first_not_of(" \t", colon + 1), line.size()));
    value.erase(value.find_last_not_of(" \t\r\n") + 1);
    if (name == "etag") answer.etag = value;
    if (name == "last-modified") answer.last_modified = value;
    if (name == "content-length") answer.content_length = number(value);
    if (name == "content-range") read_content_range(value, answer);
    if (name == "x-amz-bucket-region") answer.bucket_region = value;
  }

  bool body(const char* data, std::size_t size) {
    long code = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code);
    answer.code = code;
    if (code / 100 != 2) {
      answer.error_text.append(data, std::min(size, kMaxErrorText - answer.error_text.size()));
      return true;
    }
    sink_status = sink ? sink(answer, data, size) : ok_status();
    return sink_status.ok();
  }
};

std::size_t on_header(char* data, std::size_t one, std::size_t count, void* exchange) {
  const bool goes_on = static_cast<Exchange*>(exchange)->header({data, one * count});
  return goes_on ? one * count : 0;
}

std::size_t on_body(char* data, std::size_t one, std::size_t count, void* exchange) {
  return static_cast<Exchange*>(exchange)->body(data, one * count) ? one * count : 0;
}

int on_progress(void* exchange, curl_off_t, curl_off_t received, curl_off_t, curl_off_t) {
  return static_cast<Exchange*>(exchange)->goes_on(received) ? 0 : 1;
}

HttpOutcome of_failure(CURLcode code, const char* details, const Exchange& exchange) {
  HttpOutcome outcome{
      .status = exchange.sink_status, .transient = false, .answer = exchange.answer};
  if (code == CURLE_WRITE_ERROR && !outcome.status.ok()) {
    outcome.transient = outcome.status.code() == absl::StatusCode::kUnavailable;
    return outcome;
  }
  if (code == CURLE_ABORTED_BY_CALLBACK && exchange.stalled) {
    outcome.status =
        Status(absl::StatusCode::kUnavailable,
               str_cat("the transfer stalled (below ", exchange.options.stall_bytes_per_s,
                       " bytes a second for ", human_duration(exchange.options.stall_s), ")"));
    outcome.transient = true;
    return outcome;
  }
  outcome = outcome_of_failure(code, *details != '\0' ? details : curl_easy_strerror(code),
                               exchange.options);
  outcome.answer = exchange.answer;
  return outcome;
}

void set_limits(CURL* handle, const HttpOptions& options, double time_left_s) {
  const auto milliseconds = [](double seconds) {
    return static_cast<long>(std::max(1.0, 1000 * seconds));
  };
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(handle, CURLOPT_MAXREDIRS, static_cast<long>(options.max_redirects));
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(options.connect_timeout_s));
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, milliseconds(time_left_s));
  curl_easy_setopt(handle, CURLOPT_BUFFERSIZE, 512L << 10);
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "titan");
}

}  // namespace

std::string HttpRequest::name() const { return shown.empty() ? shown_url(url) : shown; }

HttpOutcome transfer_once(const HttpRequest& request, const HttpOptions& options,
                          double time_left_s, const BodySink& sink) {
  CURL* const handle = thread_handle();
  Exchange exchange{
      .handle = handle, .sink = sink, .options = options, .answer = {}, .sink_status = {}};
  char details[CURL_ERROR_SIZE] = "";
  set_limits(handle, options, time_left_s);
  curl_slist* headers = nullptr;
  for (const std::string& header : request.headers)
    headers = curl_slist_append(headers, header.c_str());
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> owned(headers, curl_slist_free_all);
  curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(handle, CURLOPT_NOBODY, request.head ? 1L : 0L);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, details);
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &exchange);
  if (!request.sigv4.empty()) {
    curl_easy_setopt(handle, CURLOPT_AWS_SIGV4, request.sigv4.c_str());
    curl_easy_setopt(handle, CURLOPT_USERPWD, request.user_password.c_str());
  }
  const CURLcode code = curl_easy_perform(handle);
  long answered = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &answered);
  exchange.answer.code = answered;
  curl_off_t retry_after = 0;
  curl_easy_getinfo(handle, CURLINFO_RETRY_AFTER, &retry_after);
  exchange.answer.retry_after_s = static_cast<double>(retry_after);
  // The handle outlives this call: nothing in it may point into our frame.
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, nullptr);
  // An error page that breaks off is still the error it names.
  if (code != CURLE_OK && answered < 400) return of_failure(code, details, exchange);
  return outcome_of(exchange.answer);
}

}  // namespace titan
