// base: what everything else stands on (logging, checks, status, hashing, counter-based random
// bits). No torch, no CUDA, nothing else of titan may be included here.
//
// check.h: exceptions for broken rules inside the program (design: Status at the edges, exceptions
// inside).
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace titan {

/// A broken rule inside the program. The message names the speaker, the rule and the values:
/// `[fsdp] dp_shard must divide world_size (dp_shard=3, world_size=8)`. Caught once, in train_main.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Concatenates anything printable.
template <class... Parts>
std::string str_cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

namespace detail {
template <class... Parts>
[[noreturn]] void fail_check(const char* file, int line, const char* condition,
                             const Parts&... parts) {
  throw Error(str_cat(parts..., " [", condition, " failed at ", file, ":", line, "]"));
}
}  // namespace detail

}  // namespace titan

/// Throws titan::Error with the concatenated message parts when `condition` is false.
#define TITAN_CHECK(condition, ...)                                                           \
  do {                                                                                        \
    if (!(condition)) [[unlikely]] {                                                          \
      ::titan::detail::fail_check(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__); \
    }                                                                                         \
  } while (false)

/// As TITAN_CHECK, for our own bugs in hot paths; compiled in where TITAN_ENABLE_DCHECK is defined
/// (NDEBUG is always defined: LibTorch's classes change layout without it).
#ifdef TITAN_ENABLE_DCHECK
#define TITAN_DCHECK(condition, ...) TITAN_CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#else
#define TITAN_DCHECK(condition, ...) \
  do {                               \
  } while (false && (condition))
#endif
