// slow_file.cpp: preloaded into a program under test, makes it wait for files as on a file system
// that does not answer: opening F hangs while F.slow exists.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdarg>
#include <string>

extern "C" __attribute__((visibility("default"))) int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  const std::string slow = std::string(path) + ".slow";
  while (access(slow.c_str(), F_OK) == 0) usleep(10000);
  using Open = int (*)(const char*, int, ...);
  static const auto real = reinterpret_cast<Open>(dlsym(RTLD_NEXT, "open"));
  return real(path, flags, mode);
}
