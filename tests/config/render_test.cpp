#include "tests/support/catch.h"

#include "titan/config/render.h"

#include <sstream>

#include "titan/config/decode.h"
#include "titan/config/loader.h"

#include "tests/support/temporary_folder.h"

using titan::load_config;

namespace {
titan::LoadedConfig loaded(const std::vector<std::string>& args) {
  auto result = load_config(args);
  INFO((result.ok() ? "" : titan::message_of(result.status())));
  REQUIRE(result.ok());
  return *result;
}

struct ToyArgs {
  int64_t dim = 8;
  double scale = 1.0;
  bool qk_norm = true;
  std::string mode = "a";
  std::vector<int64_t> sizes;
};
template <class V>
void visit_fields(ToyArgs& c, V&& v) {
  v("dim", c.dim, "width");
  v("scale", c.scale, "a | b", titan::rule::above(0));
  v("qk_norm", c.qk_norm, "norm");
  v("mode", c.mode, "mode");
  v("sizes", c.sizes, "sizes");
}
}  // namespace

TEST_CASE("The resolved TOML loads back equal", "[config]") {
  const titan::testing::TemporaryFolder folder;
  const titan::LoadedConfig first = loaded(
      {"--training.seed=9223372036854775807", "--training.dataset_path=a \"b\"\\c\td\n\x01 \u00e9",
       "--optimizer.lr=0.1", "--sampling.guidance=1,2.5", "--optimizer.no_decay=bias,norm",
       "--training.no-shuffle", "--ema.half_life=None", "--job.description=", "--model.args.dim=64",
       "--model.args.scale=1e-3", "--model.args.no-qk-norm", "--model.args.mode=x y",
       "--model.args.sizes=1,2"});
  const std::string text = titan::render_toml(first.config);
  const titan::LoadedConfig second = loaded({"--config=" + folder.write("config.toml", text)});
  CHECK(second.warnings.empty());
  CHECK(second.config.training.dataset_path == first.config.training.dataset_path);
  CHECK(second.config.training.seed == first.config.training.seed);
  CHECK_FALSE(second.config.ema.half_life.has_value());
  titan::JobConfig again = second.config;
  again.job.config_file = first.config.job.config_file;
  CHECK(titan::render_toml(again) == text);
  const auto args = titan::decode_args(second.config.model.args, ToyArgs{});
  REQUIRE(args.ok());
  CHECK(args->dim == 64);
  CHECK(args->scale == 1e-3);
  CHECK_FALSE(args->qk_norm);
  CHECK(args->mode == "x y");
  CHECK(args->sizes == std::vector<int64_t>{1, 2});
}

TEST_CASE("The help names every option and keeps to its width", "[config]") {
  titan::JobConfig config;
  config.training.steps = 4321;
  const std::string help = titan::render_help(
      "train", config, {titan::describe_section("model.args", "the toy", ToyArgs{})});
  CHECK(help.find("now 4321)") != std::string::npos);
  for (const titan::SectionDoc& section : titan::describe_config(config)) {
    for (const titan::FieldDoc& field : section.fields) {
      INFO(section.name << "." << field.name);
      CHECK(help.find("--" + section.name + "." + field.name) != std::string::npos);
    }
  }
  CHECK(help.find("--model.args.sizes=A,B") != std::string::npos);
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    CHECK(line.size() <= 100);
  }
}

TEST_CASE("docs/config.md lists fields, other names and ignored keys", "[config]") {
  const std::string text =
      titan::render_config_markdown({titan::describe_section("model.args", "the toy", ToyArgs{})});
  CHECK(text.find("| `steps` | integer | `10000` | at least 1 | optimizer steps to train |") !=
        std::string::npos);
  CHECK(text.find("| `scale` | number | `1.0` | above 0 | a \\| b |") != std::string::npos);
  CHECK(text.find("outputs/&lt;config name>") != std::string::npos);
  CHECK(text.find("| `dataset.root_dir` | `training.dataset_path` |") != std::string::npos);
  CHECK(text.find("| `memory_estimation` | `enabled`, `disable_fake_mode` |") != std::string::npos);
}
