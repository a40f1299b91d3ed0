// From captioned pictures to pictures of prompts, through real text encoders.
#include <filesystem>
#include <fstream>

#include "titan/io/image_decode.h"
#include "titan/io/png_text.h"

#include "tests/integration/training.h"
#include "tests/support/catch.h"
#include "tests/support/golden_root.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

using Arguments = std::vector<std::string>;
using Environment = std::map<std::string, std::string>;

nlohmann::json config_of(const std::string& encoder) {
  return nlohmann::json::parse(
      slurp((*golden_root() / "encoders" / encoder / "config.json").string()));
}

/// Small encoders with real vocabularies; each square of 4 x 4 pixels is a token of 48 channels.
Arguments encoders() {
  const std::string root = fs::absolute(*golden_root() / "encoders").string();
  const nlohmann::json clip = config_of("clip/tiny");
  const int64_t width = clip.value("text_config", clip).at("hidden_size").get<int64_t>();
  return {"--encoder.t5_encoder=" + root + "/t5/tiny",
          "--encoder.clip_encoder=" + root + "/clip/tiny", "--encoder.pixel_patch=4",
          "--encoder.context_in_dim=" + config_of("t5/tiny").at("d_model").dump(),
          "--encoder.vec_in_dim=" + std::to_string(width)};
}

bool has_encoders() {
  return golden_root() && fs::exists(*golden_root() / "encoders/t5/tiny/spiece.model");
}

/// A text-to-image run over captioned shapes with checkpoints of steps 2 and 4, and averages.
void train_shapes(const TemporaryFolder& folder, const Arguments& extra = {}) {
  const ProcessResult shapes = run({kTitanBinary, "make-shapes", "--output=" + (folder / "shapes"),
                                    "--samples=20", "--image-size=32"});
  INFO(shapes.output);
  REQUIRE(shapes.exit_code == 0);
  Arguments settings =
      tiny_flux(folder / "run",
                {"--training.dataset=webdataset", "--training.dataset_path=" + (folder / "shapes"),
                 "--training.img_size=32", "--training.batch_size=4", "--training.steps=4",
                 "--training.mixed_precision_param=float32", "--model.args.in_channels=192",
                 "--eval.dataset=", "--checkpoint.interval=2", "--ema.enable"});
  for (const Arguments& more : {encoders(), extra})
    settings.insert(settings.end(), more.begin(), more.end());
  const ProcessResult trained = train(settings);
  INFO(trained.output);
  REQUIRE(trained.exit_code == 0);
}

/// `titan infer` on the run, without a config: the run folder knows.
ProcessResult infer(const TemporaryFolder& folder, const std::string& save_path,
                    const Arguments& extra = {}, const Environment& environment = {}) {
  Arguments command = {kTitanBinary,
                       "infer",
                       "--job.dump_folder=" + (folder / "run"),
                       "--inference.save_path=" + (folder / save_path),
                       "--inference.prompts_path=" + (folder / "prompts.txt"),
                       "--inference.batch_size=2",
                       "--sampling.steps=3",
                       "--sampling.guidance=3"};
  command.insert(command.end(), extra.begin(), extra.end());
  return run(command, environment);
}

const char* const kPrompts = "a red circle\n\na small blue triangle\nein grüner Würfel, 立方体\n";

titan::PngText words_of(const std::string& path) {
  const std::string bytes = slurp(path);
  return titan::read_png_text({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()})
      .value();
}

titan::Image pixels_of(const std::string& path) {
  const std::string bytes = slurp(path);
  return titan::decode_image({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()})
      .value();
}

void refused(const ProcessResult& result, const Arguments& mentions) {
  INFO(result.output);
  REQUIRE(result.exit_code == 2);
  for (const std::string& text : mentions) {
    INFO("looking for: " << text);
    REQUIRE(result.mentions(text));
  }
}

}  // namespace

TEST_CASE("prompts become the same pictures on one rank and on two that share the encoders",
          "[integration]") {
  if (!has_encoders()) TITAN_SKIP(kNoGolden);
  const TemporaryFolder folder;
  train_shapes(folder);
  folder.write("prompts.txt", kPrompts);
  for (const char* ranks : {"1", "2"}) {
    const ProcessResult result = infer(folder, ranks,
                                       {"--parallelism.data_parallel_shard_degree=-1",
                                        "--parallelism.data_parallel_replicate_degree=1"},
                                       {{"NGPU", ranks}});
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
  }
  CHECK(fs::exists(folder / "1/grid.png"));
  CHECK(pixels_of(folder / "1/img_000000.png").width == 32);
  for (int number = 0; number < 3; ++number) {
    const std::string name = "/img_00000" + std::to_string(number) + ".png";
    const std::string one = slurp(folder / ("1" + name));
    CHECK(one == slurp(folder / ("2" + name)));
    CHECK(one != slurp(folder / ("1/img_00000" + std::to_string((number + 1) % 3) + ".png")));
  }
  CHECK(titan::find_text(words_of(folder / "1/img_000002.png"), "prompt") ==
        "ein grüner Würfel, 立方体");
}

TEST_CASE("titan sample draws prompts, and scores what they ask for", "[integration]") {
  if (!has_encoders()) TITAN_SKIP(kNoGolden);
  const TemporaryFolder folder;
  train_shapes(folder);
  const Arguments command = {kTitanBinary, "sample", folder / "run", "--sampling.steps=2",
                             "--sampling.guidance=3"};
  const auto sample = [&](const Arguments& extra) {
    Arguments words = command;
    words.insert(words.end(), extra.begin(), extra.end());
    return run(words);
  };
  folder.write("prompts.txt", "a crescent painted white\n\nno shape at all\n");
  const ProcessResult drawn = sample({"--prompt", "a red circle", "--prompt=ein blauer Stern ★",
                                      "--prompts=" + (folder / "prompts.txt"),
                                      "--pictures=" + (folder / "pictures"), "--check-shapes"});
  INFO(drawn.output);
  REQUIRE(drawn.exit_code == 0);
  CHECK(drawn.mentions("4 pictures from"));
  CHECK(drawn.mentions("of 2 right"));  // two prompts name a class
  const titan::PngText words = words_of(folder / "pictures/a_red_circle-guidance_3-0.png");
  CHECK(titan::find_text(words, "prompt") == "a red circle");
  CHECK(titan::find_text(words, "guidance") == "3");
  CHECK(pixels_of(folder / "pictures/a_red_circle-guidance_3-0.png").width == 32);
  CHECK(titan::find_text(words_of(folder / "run/samples/sample.png"), "steps") == "2");
  // Without prompts the captions of the first samples are encoded.
  CHECK(sample({"--sampling.num_samples=2"}).mentions("2 pictures from"));
  CHECK(sample({"--prompt=one", "--sampling.num_samples=3"}).mentions("3 pictures from"));
  refused(sample({"--prompts=" + (folder / "none.txt")}), {"none.txt"});
  refused(sample({"--prompt"}), {"--prompt needs a text"});
  refused(sample({"--prompt=x", "--encoder.t5_encoder=", "--encoder.clip_encoder="}),
          {"scripts/download.sh t5"});
  refused(sample({"--prompt=x", "--encoder.t5_encoder=/nowhere"}),
          {"/nowhere does not exist", "scripts/download.sh t5"});
}

TEST_CASE("doctor: encoders' weights are held against their config.json", "[integration]") {
  if (!has_encoders()) TITAN_SKIP(kNoGolden);
  const TemporaryFolder folder;
  const fs::path t5 = fs::path(folder / "t5");
  fs::copy(*golden_root() / "encoders/t5/tiny", t5);
  Arguments arguments = tiny_flux(
      folder / "run", {"--training.dataset=webdataset",
                       "--eval.dataset=", "--training.dataset_path=" + (folder / "none")});
  const Arguments tiny = encoders();
  arguments.insert(arguments.end(), tiny.begin(), tiny.end());
  arguments.push_back("--encoder.t5_encoder=" + t5.string());
  arguments.insert(arguments.begin(), {kTitanBinary, "doctor"});
  const ProcessResult fits = run(arguments);
  INFO(fits.output);
  CHECK(fits.mentions("ok    encoder t5"));
  CHECK(fits.mentions("ok    encoder clip"));
  nlohmann::json config = config_of("t5/tiny");
  config["num_layers"] = 1;
  fs::permissions(t5 / "config.json", fs::perms::owner_write, fs::perm_options::add);
  std::ofstream(t5 / "config.json") << config;
  const ProcessResult differs = run(arguments);
  INFO(differs.output);
  CHECK(differs.exit_code == 1);
  CHECK(differs.mentions("FAIL  encoder t5"));
  CHECK(differs.mentions("another size"));
}
