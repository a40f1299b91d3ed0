#include "tests/support/catch.h"

#include "titan/parallel/cuda_library.h"

#include <filesystem>
#include <fstream>

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
