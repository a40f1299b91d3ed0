// golden_root.h: where the reference cases are. No torch.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>

namespace titan::testing {

inline constexpr const char* kNoGolden =
    "no golden files: set TITAN_GOLDEN or put them in ../shared/golden";

/// The folder of golden cases: environment TITAN_GOLDEN, else ../shared/golden (tests run in the
/// source folder). Empty where there is none.
inline std::optional<std::filesystem::path> golden_root() {
  const char* named = std::getenv("TITAN_GOLDEN");
  std::filesystem::path root = named != nullptr && *named != '\0' ? named : "../shared/golden";
  if (!std::filesystem::is_directory(root)) return std::nullopt;
  return root;
}

}  // namespace titan::testing
