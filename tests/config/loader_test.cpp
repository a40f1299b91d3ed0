#include "tests/support/catch.h"

#include "titan/config/loader.h"

#include <random>

#include "tests/config/environment_variable.h"
#include "tests/support/temporary_folder.h"

using titan::load_config;
using titan::testing::EnvironmentVariable;
using titan::testing::TemporaryFolder;

namespace {
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// The error of loading `toml` with `args`; "" where it loads.
std::string error_of(const std::string& toml, std::vector<std::string> args = {}) {
  const TemporaryFolder scratch;
  args.push_back("--config=" + scratch.write("a.toml", toml));
  const auto loaded = load_config(args);
  if (loaded.ok()) return "";
  CHECK(titan::exit_code_for(loaded.status()) == 2);
  return titan::message_of(loaded.status());
}
}  // namespace

TEST_CASE("Without a config there are the defaults", "[config]") {
  const auto loaded = load_config({});
  REQUIRE(loaded.ok());
  CHECK(loaded->config.training.steps == 10000);
  CHECK(loaded->config.job.dump_folder == "outputs/default");
  CHECK(loaded->warnings.empty());
  CHECK(loaded->origin.empty());
}

TEST_CASE("The command line wins over the file, the file over the defaults", "[config]") {
  const TemporaryFolder scratch;
  const std::string path =
      scratch.write("mine.toml",
                    "[training]\nsteps = 5\nbatch_size = 2\n[model.args]\ndim = 64\n"
                    "[sampling]\nguidance = [1.0, 4]\n");
  const auto loaded =
      load_config({"--config", path, "--training.steps", "7", "--model.args.patch-size=4",
                   "--training.no-shuffle", "--sampling.classes=1,2"});
  REQUIRE(loaded.ok());
  CHECK(loaded->config.training.steps == 7);
  CHECK(loaded->config.training.batch_size == 2);
  CHECK_FALSE(loaded->config.training.shuffle);
  CHECK(loaded->config.sampling.guidance == std::vector<double>{1, 4});
  CHECK(loaded->config.sampling.classes == std::vector<int64_t>{1, 2});
  CHECK(loaded->config.model.args.size() == 2);
  CHECK(loaded->config.model.args.at("dim").place == path + ":5");
  CHECK(loaded->config.job.config_file == path);
  CHECK(loaded->config.job.dump_folder == "outputs/mine");
  CHECK(loaded->origin.at("training.steps") == "command line");
  CHECK(loaded->origin.at("training.batch_size") == path + ":3");
}

TEST_CASE("A config is found by name, with or without its ending, and through the environment",
          "[config]") {
  const TemporaryFolder scratch;
  scratch.write("toy.toml", "[training]\nsteps = 3\n");
  scratch.write("other.toml", "[training]\nsteps = 4\n");
  titan::LoadOptions options;
  options.config_folders = {scratch.path()};
  for (const char* name : {"toy", "toy.toml"}) {
    const auto loaded = load_config({"--job.config_file", name}, options);
    REQUIRE(loaded.ok());
    CHECK(loaded->config.training.steps == 3);
    CHECK(loaded->config_name == "toy");
  }
  const EnvironmentVariable variable("CONFIG_FILE", "toy");
  CHECK(load_config({}, options)->config.training.steps == 3);
  CHECK(load_config({"--config=other"}, options)->config.training.steps == 4);
  const EnvironmentVariable second("CONFIG", "other");
  const auto both = load_config({}, options);
  CHECK(both->config.training.steps == 4);
  REQUIRE_FALSE(both->warnings.empty());
  CHECK(contains(both->warnings[0], "CONFIG_FILE = toy is not"));
}

TEST_CASE("The default config is used where nothing else is named", "[config]") {
  const TemporaryFolder scratch;
  scratch.write("toy.toml", "[training]\nsteps = 3\n");
  titan::LoadOptions options;
  options.config_folders = {scratch.path()};
  options.default_config = "toy";
  CHECK(load_config({}, options)->config_name == "toy");
  const auto missing = load_config({"--config=toyy"}, options);
  REQUIRE_FALSE(missing.ok());
  CHECK(contains(titan::message_of(missing.status()), "did you mean toy?"));
  CHECK_FALSE(load_config({"--config", scratch.path().string()}, options).ok());
}

TEST_CASE("All problems are reported at once, with file, line, key and nearest match", "[config]") {
  const std::string message = error_of(
      "steps = 3\n[training]\nstesp = 5\nsteps = 0\nbatch_size = \"many\"\n[optimizer]\nlr = "
      "nan\nname = \"SGD\"\n"
      "[parallelism]\ntensor_parallel_degree = 2\n[nonsense]\n",
      {"--training.max_norm=-1", "word"});
  INFO(message);
  CHECK(contains(message, "[config] 10 problems:"));
  CHECK(contains(message, "a.toml:1: steps: unknown key; did you mean training.steps?"));
  CHECK(contains(message, "a.toml:3: training.stesp: unknown key; did you mean training.steps?"));
  CHECK(contains(message, "a.toml:4: training.steps: must be at least 1 (given 0)"));
  CHECK(
      contains(message, "a.toml:5: training.batch_size: must be a whole number (given \"many\")"));
  CHECK(contains(message, "a.toml:7: optimizer.lr: must be a finite number (given nan)"));
  CHECK(contains(message, "a.toml:8: optimizer.name: must be one of AdamW, Adam"));
  CHECK(contains(message, "a.toml:10: parallelism.tensor_parallel_degree: 2 is reserved"));
  CHECK(contains(message, "a.toml:11: nonsense: unknown section"));
  CHECK(contains(message, "command line: training.max_norm: must be at least 0 (given -1)"));
  CHECK(contains(message, "command line: \"word\" is no option"));
}

TEST_CASE("Broken TOML names file and line", "[config]") {
  CHECK(contains(error_of("[training]\nsteps = 1\nsteps = 2\n"), "a.toml:3: duplicate key"));
  CHECK(contains(error_of("[training]\nsteps = 1\n[training]\n"),
                 "a.toml:3: duplicate key or section"));
  CHECK(contains(error_of("[training\n"), "a.toml:1: TOML syntax"));
  CHECK(contains(error_of("[training]\nsteps =\n"), "a.toml:2: TOML syntax"));
  const std::string date = error_of("[training]\nsteps = 2020-01-01\ndataset = {a = 1}\n[[job]]\n");
  INFO(date);
  CHECK(contains(date, "a.toml:2: training.steps: must be a boolean, a number, text"));
  CHECK(contains(date, "a.toml:3: training.dataset.a: unknown key"));
  CHECK(contains(date, "a.toml:4: job: must be"));
}

TEST_CASE("Rules between fields are checked with the place of the key", "[config]") {
  CHECK(contains(error_of("[dataset]\nimage_size = [1, 2, 3]\n"),
                 "a.toml:2: dataset.image_size: must be empty or"));
  CHECK(contains(error_of("[sampling]\nguidance = []\n"),
                 "sampling.guidance: needs at least one scale"));
  CHECK(contains(error_of("[dataset]\nnum_classes = 4\n[sampling]\nclasses = [4]\n"),
                 "class 4 is outside 0 to 3"));
  CHECK(contains(error_of("[parallelism]\ndata_parallel_replicate_degree = -1\n"), "only one of"));
  CHECK(contains(error_of("[parallelism]\ndata_parallel_shard_degree = 0\n"), "given 0"));
  CHECK(contains(error_of("[optimizer]\nbeta1 = 1.0\n"),
                 "must be at least 0 and below 1 (given 1.0)"));
}

TEST_CASE("A doubtful setting is a warning", "[config]") {
  const auto loaded = load_config({"--training.steps=5", "--lr_scheduler.warmup_steps=10"});
  REQUIRE(loaded.ok());
  REQUIRE(loaded->warnings.size() == 1);
  CHECK(contains(loaded->warnings[0],
                 "command line: lr_scheduler.warmup_steps: the warm-up (10 steps)"));
}

TEST_CASE("Help outranks every problem", "[config]") {
  const auto loaded = load_config({"--config=/nowhere", "--training.steps=0", "--help"});
  REQUIRE(loaded.ok());
  CHECK(loaded->help_requested);
}

TEST_CASE("Garbled files and arguments are refused, never fatal", "[config]") {
  const TemporaryFolder scratch;
  const std::string valid =
      "[training]\nsteps = 5\ndataset = \"a\"\n[model.args]\ndim = 3\nlist = [1, 2.5, "
      "\"x\"]\n[sampling]\n"
      "guidance = [1.0]\nenable = true\n# comment\n[lr_scheduler]\ndecay_ratio = 0.1\n";
  std::mt19937 random(17);
  for (int round = 0; round < 600; ++round) {
    std::string text = valid;
    const int edits = 1 + static_cast<int>(random() % 8);
    for (int i = 0; i < edits; ++i) {
      const std::size_t at = random() % text.size();
      const char byte = static_cast<char>(random() % 256);
      switch (random() % 3) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.erase(at, 1 + random() % 6);
          break;
        default:
          text.insert(at, 1 + random() % 3, byte);
      }
      if (text.empty()) text = "x";
    }
    const std::string path = scratch.write("fuzz.toml", text);
    std::string argument = "--" + text.substr(random() % text.size(), 20);
    const auto loaded = load_config({"--config", path, argument});
    if (!loaded.ok()) CHECK(titan::exit_code_for(loaded.status()) == 2);
    const auto file_only = load_config({"--config=" + path});
    if (!file_only.ok()) CHECK_FALSE(titan::message_of(file_only.status()).empty());
  }
}

TEST_CASE("Deep nesting, long lines and foreign bytes are refused, never fatal", "[config]") {
  CHECK_FALSE(error_of("x = " + std::string(100000, '[')).empty());
  CHECK_FALSE(error_of("[training]\n" + std::string(100000, 'k') + " = 1\n").empty());
  CHECK_FALSE(error_of(std::string("\0\xff\xfe\x01", 4)).empty());
  CHECK_FALSE(error_of("[training]\nsteps = 99999999999999999999\n").empty());
  CHECK(error_of("").empty());
}

TEST_CASE("A config file that would end the process is refused", "[config]") {
  const TemporaryFolder scratch;
  const auto refusal = [](const std::string& path) {
    const auto loaded = load_config({"--config", path});
    return loaded.ok() ? std::string() : titan::message_of(loaded.status());
  };
  const auto many = [](int times, const std::string& text) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
  };
  // Each part of a key becomes a table in a table, which the TOML library ends by recursion.
  const std::string parts = many(200'000, ".a"), quoted = many(200'000, R"(."=".',')");
  const std::string hidden =
      R"(x = "a\"" # it's ")" + std::string("\n");  // quotes that open nothing
  for (const std::string& text :
       {"\na" + parts + " = 1\n", "\n[a" + parts + "]\n", "\na" + quoted + " = 1\n",
        hidden + "a" + quoted + " = 1\n", "x = ''''\na''''', a" + quoted + " = 1\n"})
    CHECK_THAT(refusal(scratch.write("deep.toml", text)),
               Catch::Matchers::Contains("deep.toml:2") &&
                   Catch::Matchers::Contains("a key of more than 200 parts"));
  // 200 parts in each of many tables.
  const std::string tables = "x = " + many(250, "{" + many(190, "a.") + "a = ") + "1";
  CHECK_THAT(refusal(scratch.write("tables.toml", tables + std::string(250, '}') + "\n")),
             Catch::Matchers::Contains("more than 32 lists and tables in each other"));
  CHECK_THAT(refusal(scratch.write("list.toml", "x = " + std::string(200'000, '[') + "\n")),
             Catch::Matchers::Contains("list.toml:1"));
  // A table below a long name repeats it: 190 of these would take gigabytes.
  const std::string name(1 << 20, 'b');
  CHECK_THAT(refusal(scratch.write("long.toml", "[" + name + many(190, ".a") + "]\n")),
             Catch::Matchers::Contains("a key of more than 256 letters"));
  // Dots in a text are no parts.
  CHECK(refusal(scratch.write("dots.toml", "[model.args]\nx = \"" + std::string(999, '.') + "\"\n"))
            .empty());
  CHECK_THAT(refusal("/dev/zero"), Catch::Matchers::Contains("/dev/zero is longer than 16 MiB"));
}
