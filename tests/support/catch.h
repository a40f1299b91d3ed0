// The only place that includes Catch2. c10 and Catch2 both define CHECK: torch comes first, its
// CHECK goes. Test binaries that need no torch (PLAIN in CMake) compile without it.
#pragma once

#ifdef TITAN_TEST_WITH_TORCH
// Tensors, their factories and autograd; not <torch/torch.h>, whose every module costs each
// compilation 2.6 s more.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>
#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>
#undef CHECK
#endif
#include <cstdio>
#include <string>

#include <catch2/catch.hpp>

namespace titan::testing {
/// Counts skips; a binary in which every test skipped exits with 77, which ctest shows as skipped.
int& skip_count();
inline void note_skip(const std::string& reason) {
  ++skip_count();
  std::printf("SKIPPED: %s\n", reason.c_str());
}
}  // namespace titan::testing

/// Leaves the test case with a reason (Catch2 3's SKIP is not in Debian 12's Catch2).
#define TITAN_SKIP(reason)               \
  do {                                   \
    ::titan::testing::note_skip(reason); \
    SUCCEED(reason);                     \
    return;                              \
  } while (false)
