#include "tests/support/catch.h"

#include "titan/parallel/device_support.h"

#include <dlfcn.h>
#include <filesystem>

#include "titan/base/status.h"
#include "titan/parallel/cuda_library.h"

namespace titan::parallel {
namespace {

using Catch::Matchers::Contains;

constexpr int64_t kGib = int64_t{1} << 30;

TEST_CASE("a driver that cannot be used is told with what to do", "[device]") {
  CHECK(driver_problem(0, 13000, 8).empty());
  CHECK(driver_problem(0, 13020, 1).empty());
  CHECK(driver_problem(0, 0, 1).empty());  // says no version: then it is tried
  CHECK_THAT(driver_problem(0, 12040, 1),
             Contains("too old: it knows CUDA 12.4, LibTorch is built with CUDA 13.0") &&
                 Contains("driver 580 or newer"));
  CHECK_THAT(driver_problem(999, 11080, 0), Contains("too old: it knows CUDA 11.8"));
  CHECK(driver_problem(100, 13000, 0) == "the NVIDIA driver sees no device");
  CHECK(driver_problem(0, 13000, 0) == "the NVIDIA driver sees no device");
  CHECK_THAT(driver_problem(46, 13000, 0), Contains("exclusive mode"));
  CHECK_THAT(driver_problem(802, 13000, 0), Contains("fabric manager"));
  CHECK_THAT(driver_problem(803, 13000, 0), Contains("different versions"));
  CHECK_THAT(driver_problem(999, 13000, 0), Contains("cuInit says 999"));
}

TEST_CASE("a GPU older than the kernels is told in one line", "[device]") {
  CHECK(kernels_problem("NVIDIA H200", 90, 90).empty());
  CHECK(kernels_problem("NVIDIA B200", 100, 90).empty());
  CHECK(kernels_problem("unknown", 0, 90).empty());
  CHECK(kernels_problem("NVIDIA H200", 90, 0).empty());
  CHECK(kernels_problem("Tesla T4", 75, 90) ==
        "[cuda] this GPU is sm_75 (Tesla T4); titan's kernels were built for sm_90 and newer: "
        "LibTorch's plain operations are used, which is slower");
}

TEST_CASE("memory that other processes hold is told", "[device]") {
  DeviceMemory memory{.device = "cuda:0", .total = 140 * kGib, .free = 139 * kGib};
  CHECK(memory.held_by_others() == 0);  // a context of our own
  CHECK(others_hold(memory).empty());
  memory.free = 79 * kGib;
  memory.own = 20 * kGib;
  CHECK_THAT(others_hold(memory), Contains("other processes hold about 40.2 GiB of the 140 GiB of "
                                           "cuda:0; 79.0 GiB are free"));
  memory.holders = {{4711, "python", 40 * kGib}, {4712, "", 0}, {3, "", 0}, {4, "", 0}, {5, "", 0}};
  CHECK_THAT(
      others_hold(memory),
      Contains("cuda:0: process 4711 (python) has 40.0 GiB, process 4712, process 3, process "
               "4 and 1 more; 79.0"));
  memory.free = -1;  // the driver does not say
  CHECK(memory.held_by_others() == 0);
  CHECK(others_hold(memory).empty());
  CHECK(others_hold({}).empty());
}

TEST_CASE("out of memory names what was asked, what is free and who has the rest", "[device]") {
  const DeviceMemory memory{.device = "cuda:1",
                            .total = 140 * kGib,
                            .free = kGib / 2,
                            .own = 98 * kGib,
                            .holders = {{4711, "python", 40 * kGib}}};
  const std::string text = out_of_memory_text(
      "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 1 has a total capacity of 139.8 GiB",
      memory);
  CHECK_THAT(text,
             Contains("[cuda] out of memory: 20.00 GiB asked for on cuda:1, which has 512 MiB "
                      "free of 140 GiB; this process has reserved 98.0 GiB, others hold about "
                      "40.8 GiB: process 4711 (python) has 40.0 GiB;") &&
                 Contains("training.batch_size"));
  CHECK_THAT(out_of_memory_text("CUDA error: out of memory", memory), Contains("more asked for"));
  const DeviceMemory alone{
      .device = "cuda:0", .total = 140 * kGib, .free = kGib, .own = 138 * kGib};
  CHECK(out_of_memory_text("Tried to allocate 2.00 MiB.", alone).find("others") ==
        std::string::npos);
}

TEST_CASE("the driver's library names who holds memory", "[device]") {
  // By its SONAME the library that is there already is found before the system's.
  void* const fake = dlopen(TITAN_FAKE_DRIVER "/libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  REQUIRE(fake != nullptr);
  const std::vector<MemoryHolder> holders = memory_holders("00000000:3B:00.0");
  REQUIRE(holders.size() == 2);  // not this process
  CHECK(holders[0].pid == 1);
  CHECK(holders[0].bytes == 40 * kGib);
  CHECK_FALSE(holders[0].program.empty());
  CHECK(holders[1].pid == 999999999);
  CHECK(holders[1].bytes == 0);
  CHECK(holders[1].program.empty());
  CHECK(memory_holders("00000000:AA:00.0").empty());
  CHECK(memory_holders("").empty());
}

TEST_CASE("with an old driver cuda is refused, auto trains on the CPU", "[device]") {
  if (std::filesystem::exists("/proc/driver/nvidia/version"))
    TITAN_SKIP("this machine has a driver of its own");
  REQUIRE(dlopen(TITAN_FAKE_DRIVER "/libcuda.so.1", RTLD_NOW | RTLD_LOCAL) != nullptr);
  const auto asked = choose_device("cuda", 0);
  CHECK(titan::exit_code_for(asked.status()) == 2);
  CHECK_THAT(titan::message_of(asked.status()),
             Contains("[device] job.device=cuda, but the NVIDIA driver is too old: it knows CUDA "
                      "12.4"));
  REQUIRE(choose_device("auto", 0).ok());
  CHECK(choose_device("auto", 0)->is_cpu());
}

}  // namespace
}  // namespace titan::parallel
