#include "titan/io/remote/http.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include <nlohmann/json.hpp>

#include "titan/io/atomic_file.h"
#include "titan/io/errno_status.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/remote/http_retry.h"

namespace titan {
namespace {

Status unavailable(const std::string& text) { return {absl::StatusCode::kUnavailable, text}; }

RemoteFile described(const HttpAnswer& answer) {
  return {.size_bytes = answer.code == 206 ? answer.range_total : answer.content_length,
          .etag = answer.etag,
          .last_modified = answer.last_modified};
}

/// A file that grows while it is downloaded, and what is known about the version it is of.
class Part {
 public:
  static StatusOr<Part> open(const std::string& path) {
    Part part;
    part.path_ = path;
    part.file_ = FileDescriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (!part.file_.is_open()) return errno_status(errno, "create", path);
    struct stat info {};
    if (::fstat(part.file_.get(), &info) != 0) return errno_status(errno, "inspect", path);
    part.size_ = static_cast<std::uint64_t>(info.st_size);
    part.read_note();
    return part;
  }

  std::uint64_t size() const { return size_; }
  /// What If-Range may name: a weak ETag does not promise equal bytes. Empty: no resuming.
  std::string validator() const {
    if (!of_.etag.empty()) return of_.etag.starts_with("W/") ? "" : of_.etag;
    return of_.last_modified;
  }
  const RemoteFile& of() const { return of_; }

  Status start_again() {
    if (::ftruncate(file_.get(), 0) != 0) return errno_status(errno, "shorten", path_);
    size_ = 0;
    return ok_status();
  }

  Status describe(const RemoteFile& of) {
    of_ = of;
    nlohmann::json note = {{"etag", of.etag}, {"last_modified", of.last_modified}};
    if (of.size_bytes) note["size_bytes"] = *of.size_bytes;
    return write_file_atomically(
        path_ + ".json", note.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }

  Status append(const char* data, std::size_t size) {
    while (size > 0) {
      const ssize_t count = ::pwrite(file_.get(), data, size, static_cast<off_t>(size_));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno_status(errno, "write", path_);
      data += count;
      size_ += static_cast<std::uint64_t>(count);
      size -= static_cast<std::size_t>(count);
    }
    return ok_status();
  }

  void remove() {
    ::unlink(path_.c_str());
    ::unlink((path_ + ".json").c_str());
  }

 private:
  void read_note() {
    const StatusOr<std::string> text = read_file(path_ + ".json", 1 << 16);
    const nlohmann::json note =
        nlohmann::json::parse(text.ok() ? *text : "", nullptr, /*allow_exceptions=*/false);
    if (!note.is_object()) return;
    const auto word = [&](const char* key) {
      return note.contains(key) && note[key].is_string() ? note[key].get<std::string>() : "";
    };
    of_ = {.size_bytes = {}, .etag = word("etag"), .last_modified = word("last_modified")};
    if (note.contains("size_bytes") && note["size_bytes"].is_number_unsigned())
      of_.size_bytes = note["size_bytes"].get<std::uint64_t>();
  }

  std::string path_;
  FileDescriptor file_;
  std::uint64_t size_ = 0;
  RemoteFile of_;
};

/// Whether what a server has is what was announced (by its own earlier answer, or an index).
Status check_announced(const RemoteFile& have, const RemoteFile& expected) {
  if (!expected.version().empty() && !have.version().empty() &&
      (expected.etag.empty() ? expected.last_modified != have.last_modified
                             : !have.etag.empty() && expected.etag != have.etag))
    return failed_precondition("the file on the server is another one now (version ",
                               have.version(), ", not ", expected.version(), ")");
  if (expected.size_bytes && have.size_bytes && *expected.size_bytes != *have.size_bytes)
    return failed_precondition("the file on the server has ", *have.size_bytes, " bytes, not ",
                               *expected.size_bytes);
  return ok_status();
}

/// Decides from the head of an answer where its body goes.
Status begin_body(const HttpAnswer& answer, const RemoteFile& expected, std::uint64_t asked_from,
                  Part& part) {
  const RemoteFile have = described(answer);
  TITAN_RETURN_IF_ERROR(check_announced(have, expected));
  if (answer.code == 206) {
    const bool same = check_announced(have, part.of()).ok();
    if (same && answer.range_first == asked_from && asked_from == part.size()) return ok_status();
    TITAN_RETURN_IF_ERROR(part.start_again());
    return unavailable("the server sends another range than asked for");
  }
  TITAN_RETURN_IF_ERROR(part.start_again());
  return part.describe(have);
}

/// Of the whole file, as far as anybody has said it.
std::optional<std::uint64_t> length_of(const Part& part, const RemoteFile& expected) {
  return part.of().size_bytes ? part.of().size_bytes : expected.size_bytes;
}

HttpAttempt download_attempt(const HttpRequest& request, const HttpOptions& options,
                             double time_left_s, const RemoteFile& expected, Part& part,
                             const DownloadProgress& progress) {
  HttpRequest ranged = request;
  const std::string validator = part.validator();
  std::uint64_t from = 0;
  if (part.size() > 0 && !validator.empty()) {
    from = part.size();
    ranged.headers.push_back(str_cat("Range: bytes=", from, "-"));
    ranged.headers.push_back("If-Range: " + validator);
  }
  bool begun = false;
  const auto sink = [&](const HttpAnswer& answer, const char* data, std::size_t size) -> Status {
    if (!begun) TITAN_RETURN_IF_ERROR(begin_body(answer, expected, from, part));
    begun = true;
    // An answer in chunks says no length beforehand; it may not fill the disk.
    const std::uint64_t most = length_of(part, expected).value_or(options.max_body_bytes);
    if (most < part.size() || size > most - part.size())
      return data_loss("the body has more than the ", most, " bytes ",
                       length_of(part, expected) ? "announced" : "allowed");
    TITAN_RETURN_IF_ERROR(part.append(data, size));
    if (progress) progress(part.size());
    return ok_status();
  };
  const std::uint64_t before = part.size();
  HttpOutcome outcome = transfer_once(ranged, options, time_left_s, sink);
  if (outcome.answer.code == 416) {  // the part is as long as the file, or longer
    if (part.of().size_bytes == part.size()) return {{ok_status(), false, outcome.answer}, false};
    if (const Status cut = part.start_again(); !cut.ok()) return {{cut, false, {}}, false};
    outcome.status = unavailable("the server has less than the part here; starting again");
    outcome.transient = true;
  }
  if (outcome.status.ok() && !begun)  // an empty body calls no sink
    outcome.status = begin_body(outcome.answer, expected, from, part);
  const std::optional<std::uint64_t> whole = length_of(part, expected);
  if (outcome.status.ok() && whole && part.size() < *whole) {
    outcome.status =
        unavailable(str_cat("the body ended after ", part.size(), " of ", *whole, " bytes"));
    outcome.transient = true;
  } else if (outcome.status.ok() && whole && part.size() > *whole) {
    outcome.status = data_loss("the body has ", part.size(), " bytes, announced were ", *whole);
  }
  if (outcome.transient && begun)
    outcome.status = annotate(outcome.status, str_cat("at byte ", part.size()));
  return {std::move(outcome), part.size() > before};
}

}  // namespace

StatusOr<RemoteFile> http_stat(const HttpRequest& request, const HttpOptions& options) {
  HttpRequest head = request;
  head.head = true;
  HttpOutcome outcome = retry_http(head, options, [&](double time_left_s) -> HttpAttempt {
    return {transfer_once(head, options, time_left_s, {}), false};
  });
  const std::int64_t code = outcome.answer.code;
  // An address signed for GET alone answers 403 to HEAD.
  const bool no_head = code == 400 || code == 403 || code == 405 || code == 501;
  if (outcome.status.ok()) return described(outcome.answer);
  if (!no_head) return outcome.status;
  HttpRequest first_byte = request;
  first_byte.headers.emplace_back("Range: bytes=0-0");
  std::optional<RemoteFile> seen;
  outcome = retry_http(first_byte, options, [&](double time_left_s) -> HttpAttempt {
    const auto stop_early = [&](const HttpAnswer& answer, const char*, std::size_t) -> Status {
      seen = described(answer);
      return answer.code == 206 ? ok_status() : Status(absl::StatusCode::kAborted, "seen enough");
    };
    return {transfer_once(first_byte, options, time_left_s, stop_early), false};
  });
  if (seen) return *seen;
  if (!outcome.status.ok()) return outcome.status;
  return described(outcome.answer);
}

StatusOr<std::string> http_get(const HttpRequest& request, const HttpOptions& options,
                               std::uint64_t max_bytes) {
  std::string text;
  const HttpOutcome outcome = retry_http(request, options, [&](double time_left_s) -> HttpAttempt {
    text.clear();
    const auto sink = [&](const HttpAnswer&, const char* data, std::size_t size) -> Status {
      if (text.size() + size > max_bytes)
        return data_loss("the file is larger than ", max_bytes, " bytes");
      text.append(data, size);
      return ok_status();
    };
    return {transfer_once(request, options, time_left_s, sink), false};
  });
  if (!outcome.status.ok()) return outcome.status;
  return text;
}

Status http_download(const HttpRequest& request, const HttpOptions& options,
                     const RemoteFile& expected, const std::string& part_path,
                     const DownloadProgress& progress) {
  TITAN_ASSIGN_OR_RETURN(Part part, Part::open(part_path));
  if (part.size() > 0 && !check_announced(part.of(), expected).ok())
    TITAN_RETURN_IF_ERROR(part.start_again());
  const HttpOutcome outcome = retry_http(request, options, [&](double time_left_s) {
    return download_attempt(request, options, time_left_s, expected, part, progress);
  });
  if (outcome.status.code() == absl::StatusCode::kResourceExhausted) part.remove();
  return outcome.status;
}

}  // namespace titan
