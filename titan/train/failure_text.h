// failure_text.h: what an exception says, for people.
#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <string>

namespace titan {

/// what(), of LibTorch's own without the stack trace that it ends in.
inline std::string failure_text(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
}

}  // namespace titan
