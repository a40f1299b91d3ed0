// Runs the fuzz targets without libFuzzer, in the trees that tests are built in under a sanitizer:
// each takes every input of its corpus, then inputs that chance makes of them. Nothing looks at
// coverage here: scripts/fuzz.sh searches, this holds what was found.
//
//   fuzz_test CORPUS_FOLDER [--seconds S] [--seed N] [TARGET...]      S seconds of CPU time a
//   target fuzz_test --input FILE TARGET
//
// What ends the process is written to ./fuzz-finding-TARGET.
#include <sanitizer/common_interface_defs.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/mutator.h"

// The targets of this build, each under a name of its own (CMakeLists.txt): X(arrow) X(config) ...
#define X(name) extern "C" int titan_fuzz_##name(const std::uint8_t* data, std::size_t size);
TITAN_FUZZ_TARGETS
#undef X

namespace {

namespace fs = std::filesystem;

struct Target {
  std::string_view name;
  int (*input)(const std::uint8_t*, std::size_t);
};
constexpr Target kTargets[] = {
#define X(name) {#name, titan_fuzz_##name},
    TITAN_FUZZ_TARGETS
#undef X
};

using titan::fuzz::Input;

/// What runs now, for whoever ends the process.
struct Running {
  std::string_view target;
  const Input* input = nullptr;
} g_running;

void write_finding() {
  if (g_running.input == nullptr) return;
  const std::string name = "fuzz-finding-" + std::string(g_running.target);
  std::ofstream(name, std::ios::binary)
      .write(reinterpret_cast<const char*>(g_running.input->data()),
             static_cast<std::streamsize>(g_running.input->size()));
  std::fprintf(stderr, "fuzz_test: the input is in %s\n", name.c_str());
  g_running.input = nullptr;
}

void on_signal(int signal) {
  write_finding();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(const Target& target, const Input& input) {
  g_running = {target.name, &input};
  // A copy of exactly this size: the sanitizer sees one byte too far.
  const std::vector<std::uint8_t> copy(input);
  target.input(copy.data(), copy.size());
  g_running.input = nullptr;
}

Input read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<Input> read_corpus(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<Input> corpus;
  for (const fs::path& path : paths) corpus.push_back(read(path));
  return corpus;
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void search(const Target& target, const fs::path& folder, double seconds, std::uint64_t seed) {
  const std::vector<Input> corpus = read_corpus(folder / target.name);
  TITAN_FUZZ_CHECK(!corpus.empty());
  for (const Input& input : corpus) run(target, input);
  titan::fuzz::Mutator mutator(seed);
  std::size_t made = 0;
  for (const double end = cpu_seconds() + seconds; cpu_seconds() < end; ++made)
    run(target, mutator.next(corpus));
  std::printf("%-12.*s %zu inputs of the corpus, %zu made of them: clean\n",
              static_cast<int>(target.name.size()), target.name.data(), corpus.size(), made);
  std::fflush(stdout);
}

int usage(const std::string& wrong) {
  std::fprintf(stderr,
               "fuzz_test: %s\nusage: fuzz_test CORPUS_FOLDER [--seconds S] [--seed N] [TARGET...]"
               " | --input FILE TARGET\n",
               wrong.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 1;
  std::uint64_t seed = 1;
  std::string folder, input;
  std::vector<Target> chosen;
  const std::vector<std::string_view> args(argv + 1, argv + argc);
  for (std::size_t i = 0; i < args.size(); ++i) {
    const bool has_value = i + 1 < args.size();
    const auto value = [&](auto& to) {
      const std::string_view text = args[++i];
      return std::from_chars(text.data(), text.data() + text.size(), to).ptr ==
             text.data() + text.size();
    };
    if (args[i] == "--input" && has_value) {
      input = args[++i];
    } else if (args[i] == "--seconds" && has_value) {
      if (!value(seconds)) return usage("--seconds takes a number");
    } else if (args[i] == "--seed" && has_value) {
      if (!value(seed)) return usage("--seed takes a whole number");
    } else if (folder.empty() && input.empty()) {
      folder = args[i];
    } else {
      const auto found = std::find_if(std::begin(kTargets), std::end(kTargets),
                                      [&](const Target& one) { return one.name == args[i]; });
      if (found == std::end(kTargets)) return usage("no target " + std::string(args[i]));
      chosen.push_back(*found);
    }
  }
  if (folder.empty() == input.empty() || (!input.empty() && chosen.size() != 1))
    return usage("which inputs?");
  if (chosen.empty()) chosen.assign(std::begin(kTargets), std::end(kTargets));
  __sanitizer_set_death_callback(write_finding);
  for (const int signal : {SIGABRT, SIGTERM}) std::signal(signal, on_signal);
  for (const Target& target : chosen) {
    if (input.empty())
      search(target, folder, seconds, seed);
    else
      run(target, read(input));
  }
  return 0;
}
