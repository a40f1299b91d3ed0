// A TOML file and a command line (arguments separated by line ends) into a whole config, then back
// to TOML.
#include <sstream>

#include "tests/fuzz/fuzz_target.h"
#include "titan/config/command_line.h"
#include "titan/config/job_config.h"
#include "titan/config/loader.h"
#include "titan/config/render.h"
#include "titan/config/toml_reader.h"

TITAN_FUZZ_INPUT(config) {
  using namespace titan;
  static fuzz::MemoryFile file;
  fuzz::Parts parts(data, size);
  const std::string toml = parts.next();
  std::vector<std::string> args = {"--config=" + file.fill(toml.data(), toml.size())};
  std::istringstream lines(parts.rest());
  for (std::string line; std::getline(lines, line);) args.push_back(line);
  // A second --config would read another file of this machine.
  for (std::size_t i = 1; i < args.size(); ++i)
    if (args[i].find("config") != std::string::npos) return 0;
  const StatusOr<LoadedConfig> loaded = load_config(args);
  if (!loaded.ok()) {
    fuzz::touch(message_of(loaded.status()));
    return 0;
  }
  // What was accepted is written into the run folder and read again by `titan verify-resume`.
  const std::string text = render_toml(loaded->config);
  if (!loaded->help_requested) TITAN_FUZZ_CHECK(config::read_toml(text, "again").ok());
  return 0;
}
