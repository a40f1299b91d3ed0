#include "titan/tools/doctor/device.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <sys/utsname.h>
#include <torch/version.h>

#include "titan/base/human.h"
#include "titan/parallel/cuda_library.h"
#include "titan/parallel/device_services.h"
#include "titan/train/run_info.h"

namespace titan::doctor {
namespace {

#ifdef __clang__
constexpr const char* kCompiler = "";  // its __VERSION__ says who it is
#else
constexpr const char* kCompiler = "g++ ";
#endif

/// Calls `int name(int*)`, of any library that is loaded; 0 where there is none.
int asked(void* library, const char* name) {
  const auto ask = reinterpret_cast<int (*)(int*)>(dlsym(library, name));
  int value = 0;
  return ask != nullptr && ask(&value) == 0 ? value : 0;
}

std::string cuda_text(int version) {
  return version == 0 ? "unknown" : str_cat(version / 1000, ".", version % 1000 / 10);
}

std::string nccl_text() {
  const int version = asked(RTLD_DEFAULT, "ncclGetVersion");
  return version == 0 ? "not loaded"
                      : str_cat(version / 10000, ".", version % 10000 / 100, ".", version % 100);
}

}  // namespace

DriverFacts read_driver() {
  const parallel::CudaLibrary& library = parallel::load_cuda_library();
  DriverFacts driver{
      .present = library.has_driver, .loaded = library.loaded, .reason = library.reason};
  if (void* cuda = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL))
    driver.driver = asked(cuda, "cuDriverGetVersion");
  driver.runtime = asked(RTLD_DEFAULT, "cudaRuntimeGetVersion");
  return driver;
}

void judge_driver(const DriverFacts& driver, const std::string& wanted, Section& section) {
  const int needed = driver.runtime > 0 ? driver.runtime : kCudaOfLibTorch;
  const std::string text = str_cat("serves CUDA up to ", cuda_text(driver.driver));
  // Within one major version an older driver serves a newer runtime.
  if (driver.driver > 0 && driver.driver / 1000 < needed / 1000) {
    const std::string advice =
        str_cat("LibTorch brings CUDA ", cuda_text(needed), ": install a driver of the series ",
                needed / 1000 >= 13 ? "580" : "525", " or newer");
    if (wanted == "cpu")
      section.warn("driver", text, advice);
    else
      section.fail("driver", text, advice);
  } else if (driver.present && !driver.loaded && wanted != "cpu") {
    section.fail("driver", text + ", but " + driver.reason,
                 "--job.device=cpu trains on the processor meanwhile");
  } else if (!driver.loaded && wanted == "cuda") {
    section.fail("driver", "job.device=cuda, but " + driver.reason,
                 "run where the device is, or --job.device=cpu");
  } else if (!driver.present) {
    section.ok("driver", driver.reason + ": jobs run on the processor");
  } else {
    section.ok("driver", text);
  }
}

DeviceFacts read_device(int device) {
  const parallel::DeviceServices* services = parallel::device_services();
  DeviceFacts facts;
  if (services == nullptr) return facts;
  facts.name = services->name(device);
  facts.capability = services->compute_capability(device);
  facts.total = services->memory_stats(device).capacity;
  const auto ask =
      reinterpret_cast<int (*)(std::size_t*, std::size_t*)>(dlsym(RTLD_DEFAULT, "cudaMemGetInfo"));
  std::size_t free = 0, total = 0;
  facts.free =
      ask != nullptr && ask(&free, &total) == 0 ? static_cast<std::int64_t>(free) : facts.total;
  return facts;
}

void judge_device(const DeviceFacts& device, Section& section) {
  const std::string text =
      str_cat(device.name, ", compute capability ", device.capability / 10, ".",
              device.capability % 10, ", ", human_bytes(static_cast<double>(device.free)),
              " free of ", human_bytes(static_cast<double>(device.total)));
  constexpr double kFree = 0.9;  // the context of this process has its part
  if (static_cast<double>(device.free) < kFree * static_cast<double>(device.total))
    section.warn("device", text, "another process uses it; nvidia-smi names it");
  else
    section.ok("device", text);
}

void list_versions(const DriverFacts& driver, Section& section) {
  section.ok("titan",
             str_cat(source_version(), " (", source_revision(), "), ", kCompiler, __VERSION__));
  section.ok("LibTorch", TORCH_VERSION);
  if (driver.present)
    section.ok("CUDA", str_cat("driver ", cuda_text(driver.driver), ", runtime ",
                               cuda_text(driver.runtime), ", NCCL ", nccl_text()));
  utsname system{};
  uname(&system);
  section.ok("system", str_cat(system.sysname, " ", system.release, ", ", system.machine,
                               ", glibc ", gnu_get_libc_version()));
}

}  // namespace titan::doctor
