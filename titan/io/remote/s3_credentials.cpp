#include "titan/io/remote/s3_credentials.h"

#include <cstdlib>
#include <map>
#include <sstream>

#include "titan/io/file_descriptor.h"

namespace titan {
namespace {

using Section = std::map<std::string, std::string>;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::string file_of(const char* override_variable, const char* name) {
  const std::string path = variable(override_variable);
  return path.empty() ? variable("HOME") + "/.aws/" + name : path;
}

/// One section of an INI file; nullopt where file or section is absent.
std::optional<Section> read_section(const std::string& path, const std::string& wanted) {
  const StatusOr<std::string> text = read_file(path, 1 << 20);
  if (!text.ok()) return std::nullopt;
  std::optional<Section> section;
  bool inside = false;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    line = trimmed(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line.front() == '[' && line.back() == ']') {
      inside = trimmed(line.substr(1, line.size() - 2)) == wanted;
      if (inside && !section) section.emplace();
      continue;
    }
    const std::size_t equals = line.find('=');
    if (inside && equals != std::string::npos)
      (*section)[trimmed(line.substr(0, equals))] = trimmed(line.substr(equals + 1));
  }
  return section;
}

std::string profile() {
  const std::string name = variable("AWS_PROFILE");
  return name.empty() ? "default" : name;
}

}  // namespace

StatusOr<std::optional<S3Credentials>> find_s3_credentials() {
  S3Credentials found{.key_id = variable("AWS_ACCESS_KEY_ID"),
                      .secret = variable("AWS_SECRET_ACCESS_KEY"),
                      .session_token = variable("AWS_SESSION_TOKEN")};
  if (found.key_id.empty() != found.secret.empty())
    return failed_precondition("[s3] ", found.key_id.empty() ? "AWS_SECRET" : "AWS", "_ACCESS_KEY",
                               found.key_id.empty() ? "" : "_ID", " is set without its other half");
  if (!found.key_id.empty()) return found;
  const std::string path = file_of("AWS_SHARED_CREDENTIALS_FILE", "credentials");
  const std::optional<Section> section = read_section(path, profile());
  if (!section) {
    if (!variable("AWS_PROFILE").empty())
      return failed_precondition("[s3] AWS_PROFILE names a profile that is not in ", path, " (",
                                 profile(), ")");
    return std::nullopt;
  }
  const auto value = [&](const char* key) {
    const auto at = section->find(key);
    return at == section->end() ? std::string() : at->second;
  };
  found = {value("aws_access_key_id"), value("aws_secret_access_key"), value("aws_session_token")};
  if (found.key_id.empty() || found.secret.empty())
    return failed_precondition("[s3] the profile ", profile(), " in ", path,
                               " needs aws_access_key_id and aws_secret_access_key");
  return found;
}

std::string find_s3_region() {
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"})
    if (const std::string region = variable(name); !region.empty()) return region;
  const std::string section = profile() == "default" ? "default" : "profile " + profile();
  const auto settings = read_section(file_of("AWS_CONFIG_FILE", "config"), section);
  if (settings && settings->count("region") != 0) return settings->at("region");
  return "us-east-1";
}

}  // namespace titan
