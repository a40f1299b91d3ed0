// A libnvidia-ml.so.1 that knows one device and three processes on it: init (pid 1), the caller,
// and one whose memory it does not know.
#include <unistd.h>

#include <cstring>

namespace {
struct ProcessInfo {  // nvmlProcessInfo_t
  unsigned int pid;
  unsigned long long used_bytes;
  unsigned int gpu_instance, compute_instance;
};
int the_device;
}  // namespace

extern "C" {
int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char* bus, void** device) {
  *device = &the_device;
  return std::strcmp(bus, "00000000:3B:00.0") == 0 ? 0 : 6;  // not found
}
int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned int* count,
                                            ProcessInfo* processes) {
  if (device != &the_device || *count < 3) return 2;
  processes[0] = {999999999U, ~0ULL, 0, 0};
  processes[1] = {static_cast<unsigned int>(getpid()), 5ULL << 30, 0, 0};
  processes[2] = {1U, 40ULL << 30, 0, 0};
  *count = 3;
  return 0;
}
}
