#include "tests/support/catch.h"

#include "titan/parallel/cuda_library.h"

#include <dlfcn.h>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <ATen/core/dispatch/Dispatcher.h>

#include "titan/ops/planned_device.h"
#include "titan/parallel/device_services.h"

#include "tests/support/temporary_folder.h"

using Catch::Matchers::Contains;
using titan::parallel::choose_device;
using titan::parallel::load_cuda_library;
using titan::parallel::load_cuda_library_from;

TEST_CASE("The CUDA library is loaded where a driver and device are, else the reason is known",
          "[parallel]") {
  const auto& library = load_cuda_library();
  REQUIRE(&library == &load_cuda_library());
  REQUIRE(library.loaded == library.reason.empty());
  REQUIRE(library.loaded == (titan::parallel::device_services() != nullptr));
  const auto asked = choose_device("cuda", 0);
  if (library.loaded) {
    REQUIRE(asked.value() == c10::Device(c10::kCUDA, 0));
    REQUIRE(choose_device("auto", 0).value().is_cuda());
    REQUIRE(titan::parallel::device_services()->memory_stats(0).capacity > 0);
    const auto too_many = choose_device("cuda", 4096);
    REQUIRE_THAT(titan::message_of(too_many.status()),
                 Contains("more ranks on this host than devices (local_rank=4096"));
  } else {
    REQUIRE(titan::exit_code_for(asked.status()) == 2);  // never a silent run on the CPU
    REQUIRE_THAT(titan::message_of(asked.status()),
                 Contains("job.device=cuda, but " + library.reason));
    REQUIRE(choose_device("auto", 0).value().is_cpu());
  }
  REQUIRE(choose_device("cpu", 0).value().is_cpu());
}

TEST_CASE("The CUDA library registers a kernel for every operator that the planner counts on",
          "[parallel]") {
  Dl_info self{};
  dladdr(reinterpret_cast<void*>(&load_cuda_library_from), &self);
  const auto path = std::filesystem::path(self.dli_fname).parent_path() / "libtitan_cuda.so";
  if (!load_cuda_library().loaded) {
    const titan::Status loaded = load_cuda_library_from(path.string());
    if (!loaded.ok()) TITAN_SKIP(titan::message_of(loaded));  // LibTorch's CUDA libraries are away
  }
  const titan::ops::PlannedDeviceScope cuda(c10::DeviceType::CUDA);
  std::size_t kernels = 0;
  for (const std::string name : {"modulate_norm", "gelu", "swiglu", "rope", "mse", "gated_residual",
                                 "joint_qkv", "parallel_qkv"}) {
    INFO(name);
    REQUIRE(titan::ops::planned_device_has(("titan::" + name).c_str()));
    for (const std::string& schema : {name, name + "_backward"}) {
      const auto op = c10::Dispatcher::singleton().findSchema({"titan::" + schema, ""});
      if (schema == "rope_backward") continue;  // rope turns back by itself
      REQUIRE(op.has_value());
      REQUIRE(op->hasKernelForDispatchKey(c10::DispatchKey::CUDA));
      ++kernels;
    }
  }
  REQUIRE(kernels == 15);
  // Their derivatives are those of the operations that do not round.
  for (const std::string name :
       {"float8_quantize", "float8_normed", "float8_gelu", "float8_swiglu", "float8_beside_gelu"}) {
    INFO(name);
    REQUIRE(titan::ops::planned_device_has(("titan::" + name).c_str()));
    const auto op = c10::Dispatcher::singleton().findSchema({"titan::" + name, ""});
    REQUIRE(op.has_value());
    REQUIRE(op->hasKernelForDispatchKey(c10::DispatchKey::CUDA));
  }
}

TEST_CASE("LibTorch's memory on a device grows by segments, unless the user has a setting",
          "[parallel]") {
  const auto after_loading = [](const char* name, const char* value) {
    for (const char* each : {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"}) unsetenv(each);
    if (value != nullptr) setenv(name, value, 1);
    // Some library that is none of ours.
    REQUIRE_FALSE(load_cuda_library_from("/lib/x86_64-linux-gnu/libm.so.6").ok());
    const char* const set = std::getenv("PYTORCH_ALLOC_CONF");
    return std::string(set == nullptr ? "unset" : set);
  };
  REQUIRE(after_loading("PYTORCH_ALLOC_CONF", nullptr) == "expandable_segments:True");
  REQUIRE(after_loading("PYTORCH_ALLOC_CONF", "max_split_size_mb:64") == "max_split_size_mb:64");
  REQUIRE(after_loading("PYTORCH_ALLOC_CONF", "").empty());
  REQUIRE(after_loading("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:False") == "unset");
  for (const char* each : {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"}) unsetenv(each);
}

TEST_CASE("A library that cannot be loaded is refused with the loader's words", "[parallel]") {
  REQUIRE_THAT(titan::message_of(load_cuda_library_from("/nowhere/libtitan_cuda.so")),
               Contains("this build has no CUDA library (/nowhere/libtitan_cuda.so)"));
  const titan::testing::TemporaryFolder folder;
  const std::string broken = folder.path() / "libtitan_cuda.so";
  std::ofstream(broken) << "not a library";
  REQUIRE_THAT(titan::message_of(load_cuda_library_from(broken)),
               Contains("cannot be loaded") && Contains("libtitan_cuda.so"));
  REQUIRE_THAT(titan::message_of(load_cuda_library_from("/lib/x86_64-linux-gnu/libm.so.6")),
               Contains("not titan's CUDA library"));
}
