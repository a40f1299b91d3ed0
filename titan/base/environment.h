// environment.h: variables of the environment.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>

namespace titan {

/// The value of an environment variable; nothing where it is unset or empty.
inline std::optional<std::string> environment(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

}  // namespace titan
