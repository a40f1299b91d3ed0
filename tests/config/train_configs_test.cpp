#include "tests/support/catch.h"

#include <filesystem>
#include <vector>

#include "titan/config/loader.h"
#include "titan/config/validate.h"

#include "tests/support/temporary_folder.h"

namespace fs = std::filesystem;

namespace {
std::vector<fs::path> shipped() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator("train_configs")) paths.push_back(entry.path());
  return paths;
}
}  // namespace

TEST_CASE("Every shipped config loads without a warning", "[config]") {
  REQUIRE(shipped().size() >= 11);
  for (const fs::path& path : shipped()) {
    INFO(path);
    CHECK(path.extension() == ".toml");
    const auto loaded = titan::load_config({"--config=" + path.stem().string()});
    INFO((loaded.ok() ? "" : titan::message_of(loaded.status())));
    REQUIRE(loaded.ok());
    CHECK(loaded->warnings.empty());
    CHECK(titan::validate(loaded->config).ok());
    CHECK(fs::path(loaded->config.job.config_file).filename() == path.filename());
  }
}

TEST_CASE("Every shipped config opens with what it needs, costs and prints", "[config]") {
  for (const fs::path& path : shipped()) {
    INFO(path);
    const std::string text = titan::testing::slurp(path.string());
    CHECK(text.rfind("# ", 0) == 0);
    for (const char* part : {"\n# Needs:", "\n# Costs:", "\n# Prints:"})
      CHECK(text.find(part) != std::string::npos);
  }
}
