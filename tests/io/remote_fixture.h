// remote_fixture.h: a folder, a faulty server over it, and settings that fail quickly.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "titan/io/remote/http.h"
#include "titan/io/remote/s3.h"

#include "tests/support/remote_server.h"
#include "tests/support/temporary_folder.h"

namespace titan::testing {

inline constexpr const char* kNoServer = "tests/io/remote_server.py is not here (not a checkout)";
inline bool can_serve() { return std::filesystem::exists("tests/io/remote_server.py"); }

/// Bytes that show a wrong offset.
inline std::string numbered_bytes(std::size_t size) {
  std::string bytes;
  while (bytes.size() < size) bytes += std::to_string(bytes.size()) + ",";
  return bytes.substr(0, size);
}

struct Remote {
  TemporaryFolder folder;  ///< served
  TemporaryFolder here;
  RemoteServer server{folder.path().string()};
  HttpOptions options{.deadline_s = 15,
                      .connect_timeout_s = 2,
                      .stall_s = 1,
                      .first_pause_s = 0.01,
                      .max_pause_s = 0.05};

  HttpRequest request(const std::string& path) const { return *remote_request(server.url(path)); }
  std::string log() const { return *http_get(request("log"), options, 1 << 20); }
};

}  // namespace titan::testing
