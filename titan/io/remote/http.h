// http.h: files from a server, tried again until they are whole or a deadline passes.
//
// Errors, all naming the address without its secrets, the last cause and the attempts:
//   kNotFound             the server has no such file (404, 410)
//   kPermissionDenied     it does not let us (401, 403, 407)
//   kUnavailable          every attempt failed in a way that may pass: no connection, a stall, 5xx,
//                         429, a body that breaks off
//   kDataLoss             what it sends contradicts what it says
//   kFailedPrecondition   it refuses otherwise: endless redirects, an untrusted certificate, a file
//                         that is another one now
//   kResourceExhausted    the local disk is full
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "titan/base/status.h"
#include "titan/io/remote/http_transfer.h"

namespace titan {

/// What a server says about a file, as far as it says it.
struct RemoteFile {
  std::optional<std::uint64_t> size_bytes;
  std::string etag;           ///< with its quotes
  std::string last_modified;  ///< as sent

  /// Changes when the file does: the ETag, else the date; empty where neither is known.
  const std::string& version() const { return etag.empty() ? last_modified : etag; }
};

/// Asks for size and version by HEAD; by the first byte where a server knows no HEAD.
StatusOr<RemoteFile> http_stat(const HttpRequest& request, const HttpOptions& options);

/// A small file as text. kDataLoss where it is larger than `max_bytes`.
StatusOr<std::string> http_get(const HttpRequest& request, const HttpOptions& options,
                               std::uint64_t max_bytes);

/// Bytes of the file that lie on the disk after each piece.
using DownloadProgress = std::function<void(std::uint64_t bytes)>;

/// Fills `part_path`, going on behind what is already there where the server still has the same
/// version (Range with If-Range) and from the start where it has not, or refuses ranges. Which
/// version the part is of lies in `<part_path>.json`. After an error the part stays for the next
/// call, except where the disk is full. What `expected` says is checked.
Status http_download(const HttpRequest& request, const HttpOptions& options,
                     const RemoteFile& expected, const std::string& part_path,
                     const DownloadProgress& progress = {});

}  // namespace titan
