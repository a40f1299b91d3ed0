// `titan VERB ...`: one help, one error path.
#include <cstdio>
#include <exception>

#include "titan/base/log.h"
#include "titan/tools/verbs.h"
#include "titan/train/run_info.h"

namespace {

void print_help() {
  std::printf("usage: titan VERB [options]     (titan VERB --help: the verb's options)\n\n");
  for (const titan::tools::Verb& verb : titan::tools::verbs())
    std::printf("  %-14s %s\n", verb.name.c_str(), verb.help.c_str());
  std::printf("\nTraining is a program of its own: train --config NAME (train --help)\n");
}

const titan::tools::Verb* find_verb(const std::string& name) {
  for (const titan::tools::Verb& verb : titan::tools::verbs())
    if (verb.name == name) return &verb;
  return nullptr;
}

int run_verb(const titan::tools::Verb& verb, const std::vector<std::string>& arguments) {
  try {
    return verb.run(arguments);
  } catch (const std::exception& error) {
    TITAN_LOG(ERROR) << error.what();
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "--help";
  if (name == "--help" || name == "-h" || name == "help") {
    print_help();
    return 0;
  }
  if (name == "--version") {
    std::printf("%s\n", titan::version_line().c_str());
    return 0;
  }
  const titan::tools::Verb* verb = find_verb(name);
  if (verb == nullptr) {
    TITAN_LOG(ERROR) << "[titan] unknown verb \"" << name << "\"; titan --help lists the verbs";
    return 2;
  }
  return run_verb(*verb, {argv + 2, argv + argc});
}
