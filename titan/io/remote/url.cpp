#include "titan/io/remote/url.h"

#include <algorithm>
#include <cctype>

namespace titan {
namespace {

bool has_scheme(const std::string& text, const std::string& scheme) {
  return text.size() > scheme.size() &&
         std::equal(scheme.begin(), scheme.end(), text.begin(), [](char want, char have) {
           return want == std::tolower(static_cast<unsigned char>(have));
         });
}

/// Where the path begins: behind scheme and authority.
std::size_t path_start(const std::string& url) {
  const std::size_t scheme = url.find("://");
  const std::size_t authority = scheme == std::string::npos ? 0 : scheme + 3;
  return std::min(url.find_first_of("/?#", authority), url.size());
}

std::string without_query(const std::string& url) {
  return url.substr(0, std::min(url.find_first_of("?#", path_start(url)), url.size()));
}

}  // namespace

bool is_s3_url(const std::string& text) { return has_scheme(text, "s3://"); }

bool is_remote_url(const std::string& text) {
  return has_scheme(text, "http://") || has_scheme(text, "https://") || is_s3_url(text);
}

std::string shown_url(const std::string& url) {
  std::string shown = is_s3_url(url) ? url : without_query(url);
  const std::size_t scheme = shown.find("://");
  const std::size_t path = path_start(shown);
  const std::size_t at = shown.rfind('@', path);
  if (scheme != std::string::npos && at != std::string::npos && at < path && at > scheme)
    shown.erase(scheme + 3, at + 1 - (scheme + 3));
  return shown;
}

std::string url_basename(const std::string& url) {
  const std::string plain = is_s3_url(url) ? url : without_query(url);
  const std::size_t start = path_start(plain);
  if (start >= plain.size()) return "";
  return plain.substr(plain.rfind('/') + 1);
}

std::string url_folder(const std::string& url) {
  const std::string plain = is_s3_url(url) ? url : without_query(url);
  const std::size_t start = path_start(plain);
  if (start >= plain.size()) return plain + "/";
  return plain.substr(0, plain.rfind('/') + 1);
}

std::string percent_encode(const std::string& text, bool keep_slash) {
  static const char* const digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte < 0x80 && std::isalnum(byte) != 0) || c == '-' || c == '.' ||
                       c == '_' || c == '~' || (keep_slash && c == '/');
    if (plain) {
      out += c;
    } else {
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

}  // namespace titan
