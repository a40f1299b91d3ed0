// remote_server.h: tests/io/remote_server.py over a folder, for as long as the object lives.
#pragma once

#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

#include "tests/support/process.h"

namespace titan::testing {

using Variables = std::map<std::string, std::string>;

/// Sets variables (an empty value removes one) and puts the old values back afterwards.
class Environment {
 public:
  explicit Environment(const Variables& changes) {
    for (const auto& [name, value] : changes) {
      const char* old = std::getenv(name.c_str());
      before_[name] = old == nullptr ? "" : old;
      set(name, value);
    }
  }
  ~Environment() {
    for (const auto& [name, value] : before_) set(name, value);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  static void set(const std::string& name, const std::string& value) {
    if (value.empty()) {
      ::unsetenv(name.c_str());
    } else {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  Variables before_;
};

class RemoteServer {
 public:
  explicit RemoteServer(const std::string& folder)
      : process_({"python3", "tests/io/remote_server.py", folder}) {
    if (!process_.wait_for_output(" ready\n", 20))
      throw std::runtime_error("tests/io/remote_server.py does not start");
    const std::string& text = process_.output();
    port_ = std::stoi(text.substr(text.find("port ") + 5));
  }

  /// Address of "files/a.tar".
  std::string url(const std::string& path) const { return root() + "/" + path; }
  std::string root() const { return "http://127.0.0.1:" + std::to_string(port_); }

  /// Variables with which s3://bucket/ is this server, signed as it wants.
  Variables s3_variables() const {
    return {{"AWS_ENDPOINT_URL", root()},
            {"AWS_ENDPOINT_URL_S3", ""},
            {"AWS_ACCESS_KEY_ID", "AKTEST"},
            {"AWS_SECRET_ACCESS_KEY", "test/secret+key"},
            {"AWS_SESSION_TOKEN", "session/token=="},
            {"AWS_REGION", "eu-test-1"},
            {"AWS_PROFILE", ""}};
  }

 private:
  Process process_;
  int port_ = 0;
};

}  // namespace titan::testing
