#include "titan/config/command_line.h"

#include "tests/support/catch.h"
#include "titan/config/value.h"

using titan::config::CommandLine;
using titan::config::KeyKind;

namespace {
CommandLine parse(const std::vector<std::string>& args) {
  return titan::config::parse_command_line(args, [](const std::string& key) {
    if (key == "training.shuffle") return KeyKind::kBool;
    if (key == "training.steps" || key == "training.dataset" || key == "training.batch_size")
      return KeyKind::kValue;
    return KeyKind::kUnknown;
  });
}
std::string shown(const CommandLine& line) {
  std::string text;
  for (const auto& setting : line.settings)
    text += setting.key + "=" + titan::config::written(setting.value) + ";";
  for (const auto& problem : line.problems) text += "! " + titan::config::to_line(problem) + ";";
  return text;
}
}  // namespace

TEST_CASE("Options take their value after = or as the next argument", "[config]") {
  CHECK(shown(parse({"--training.steps=5", "--training.dataset", "cifar10"})) ==
        "training.steps=5;training.dataset=cifar10;");
  CHECK(shown(parse({"--training.dataset="})) == "training.dataset=\"\";");
  CHECK(shown(parse({"--training.dataset", ""})) == "training.dataset=\"\";");
  CHECK(shown(parse({"--training.dataset=a=b"})) == "training.dataset=a=b;");
  CHECK(shown(parse({"--training.steps", "-1"})) == "training.steps=-1;");
  CHECK(shown(parse({"--training.steps", "--training.shuffle"})) ==
        "training.shuffle=true;! command line: training.steps: needs a value;");
}

TEST_CASE("Booleans stand alone, are negated, or take true and false", "[config]") {
  CHECK(shown(parse({"--training.shuffle"})) == "training.shuffle=true;");
  CHECK(shown(parse({"--training.no-shuffle"})) == "training.shuffle=false;");
  CHECK(shown(parse({"--training.no_shuffle"})) == "training.shuffle=false;");
  CHECK(shown(parse({"--no-training.shuffle"})) == "training.shuffle=false;");
  CHECK(shown(parse({"--no_training.shuffle", "--training.steps=5"})) ==
        "training.shuffle=false;training.steps=5;");
  CHECK(shown(parse({"--no-model.args.qkv_bias"})) == "model.args.qkv_bias=false;");
  CHECK(shown(parse({"--training.shuffle=false"})) == "training.shuffle=false;");
  CHECK(shown(parse({"--training.shuffle", "false"})) == "training.shuffle=false;");
}

TEST_CASE("What cannot be negated is said with the form that can be", "[config]") {
  CHECK(shown(parse({"--no-training.shuffle=true"})) ==
        "! command line: no_training.shuffle: is a negation and takes no value; write "
        "--training.shuffle=true;");
  CHECK(shown(parse({"--training.no-shuffle=1"})) ==
        "! command line: training.no_shuffle: is a negation and takes no value; write "
        "--training.shuffle=1;");
  for (const char* option : {"--no-training.steps", "--training.no-steps"}) {
    CHECK_THAT(shown(parse({option})),
               Catch::Matchers::Contains("training.steps is no switch; it takes a value: "
                                         "--training.steps=..."));
  }
  CHECK(shown(parse({"--no-training.unheard"})) == "no_training.unheard=true;");
}

TEST_CASE("Dashes and underscores are alike in names and kept in values", "[config]") {
  CHECK(shown(parse({"--training.batch-size=4", "--training.dataset=my-set"})) ==
        "training.batch_size=4;training.dataset=my-set;");
}

TEST_CASE("Model settings and unknown names take a value where one follows", "[config]") {
  CHECK(shown(parse({"--model.args.dim", "8", "--model.args.qk", "--x.y"})) ==
        "model.args.dim=8;model.args.qk=true;x.y=true;");
}

TEST_CASE("The config's name and the call for help are found anywhere", "[config]") {
  CHECK(parse({"--config", "a"}).config == "a");
  CHECK(parse({"--config=a"}).config == "a");
  CHECK(parse({"--job.config_file", "a"}).config == "a");
  CHECK(parse({"--training.steps=1", "--job.config-file=a"}).config == "a");
  CHECK(parse({"--help"}).help);
  CHECK(parse({"-h"}).help);
  CHECK(shown(parse({"--config"})) == "! command line: config: needs a value;");
}

TEST_CASE("A bare word is a problem", "[config]") {
  CHECK(shown(parse({"steps=5"})) ==
        "! command line: \"steps=5\" is no option; options are --section.key=value;");
  CHECK(parse({"--", "-x", ""}).problems.size() == 3);
}
