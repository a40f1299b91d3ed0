// `titan infer` and `titan sample --prompt`: pictures from prompts, by the real binaries.
#include <csignal>
#include <filesystem>

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

/// Small encoders with real vocabularies; each square of 4 x 4 pixels is a token of 48 channels.
Arguments encoders() {
  const std::string root = fs::absolute(*golden_root() / "encoders").string();
  return {"--encoder.t5_encoder=" + root + "/t5/tiny",
          "--encoder.clip_encoder=" + root + "/clip/tiny", "--encoder.pixel_patch=4"};
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
                 "--training.mixed_precision_param=float32", "--encoder.vec_in_dim=24",
                 "--model.args.in_channels=192", "--eval.dataset=", "--checkpoint.interval=2",
                 "--ema.enable"});
  for (const Arguments& more : {encoders(), extra})
    settings.insert(settings.end(), more.begin(), more.end());
  const ProcessResult trained = train(settings);
  INFO(trained.output);
  REQUIRE(trained.exit_code == 0);
}

/// `titan infer` on the run, without a config: the run folder knows.
Arguments infer_command(const TemporaryFolder& folder, const std::string& save_path,
                        const Arguments& extra = {}) {
  Arguments command = {kTitanBinary,
                       "infer",
                       "--job.dump_folder=" + (folder / "run"),
                       "--inference.save_path=" + (folder / save_path),
                       "--inference.prompts_path=" + (folder / "prompts.txt"),
                       "--inference.batch_size=2",
                       "--sampling.steps=3",
                       "--sampling.guidance=3"};
  command.insert(command.end(), extra.begin(), extra.end());
  return command;
}

ProcessResult infer(const TemporaryFolder& folder, const std::string& save_path,
                    const Arguments& extra = {}, const Environment& environment = {}) {
  return run(infer_command(folder, save_path, extra), environment);
}

void infer_well(const TemporaryFolder& folder, const std::string& save_path,
                const Arguments& extra = {}, const Environment& environment = {}) {
  const ProcessResult result = infer(folder, save_path, extra, environment);
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
}

const char* const kPrompts =
    "a red circle\r\n\na small blue triangle in the upper left\nein grüner Würfel, 立方体\n"
    "a yellow star\na pink heart\n";

std::string picture(const TemporaryFolder& folder, const std::string& save_path, int number) {
  return folder / (save_path + "/img_00000" + std::to_string(number) + ".png");
}

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

/// Largest difference of two pictures' bytes.
int difference(const std::string& one, const std::string& other) {
  const titan::Image a = pixels_of(one), b = pixels_of(other);
  REQUIRE(a.pixels.size() == b.pixels.size());
  int largest = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i)
    largest = std::max(largest, std::abs(int{a.pixels[i]} - int{b.pixels[i]}));
  return largest;
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

TEST_CASE("prompts become the same pictures on 1, 2 and 3 ranks, sharded or not", "[integration]") {
  if (!has_encoders()) TITAN_SKIP(kNoGolden);
  const TemporaryFolder folder;
  train_shapes(folder);
  folder.write("prompts.txt", kPrompts);
  infer_well(folder, "one");
  REQUIRE(fs::exists(folder / "one/grid.png"));
  REQUIRE_FALSE(fs::exists(picture(folder, "one", 5)));
  REQUIRE(pixels_of(picture(folder, "one", 0)).width == 32);
  REQUIRE(difference(picture(folder, "one", 0), picture(folder, "one", 1)) > 0);
  infer_well(folder, "two", {}, {{"NGPU", "2"}});
  infer_well(folder, "sharded",
             {"--parallelism.data_parallel_shard_degree=-1",
              "--parallelism.data_parallel_replicate_degree=1"},
             {{"NGPU", "3"}});
  infer_well(folder, "batch", {"--inference.batch_size=5"});
  for (int number = 0; number < 5; ++number) {
    INFO("picture " << number);
    const std::string expected = slurp(picture(folder, "one", number));
    CHECK(slurp(picture(folder, "two", number)) == expected);
    CHECK(slurp(picture(folder, "sharded", number)) == expected);
    // Sums over a larger batch round differently: at most a step of a byte.
    CHECK(difference(picture(folder, "batch", number), picture(folder, "one", number)) <= 1);
  }
  const titan::PngText words = words_of(picture(folder, "one", 2));
  CHECK(titan::find_text(words, "prompt") == "ein grüner Würfel, 立方体");
  CHECK(titan::find_text(words, "weights_step") == "4");
  CHECK(titan::find_text(words, "averages") == "yes");
  CHECK(titan::find_text(words, "steps") == "3");
  CHECK(titan::find_text(words, "model") == "flux flux-debug");

  // Other weights give other pictures: an earlier step, and not the averages.
  infer_well(folder, "early", {"--checkpoint.load_step=2"});
  CHECK(titan::find_text(words_of(picture(folder, "early", 0)), "weights_step") == "2");
  CHECK(difference(picture(folder, "early", 0), picture(folder, "one", 0)) > 0);
  infer_well(folder, "live", {"--sampling.no-use_ema"});
  CHECK(titan::find_text(words_of(picture(folder, "live", 0)), "averages") == "no");
  CHECK(difference(picture(folder, "live", 0), picture(folder, "one", 0)) > 0);
}

TEST_CASE("inference goes on after SIGTERM and SIGKILL, and refuses a second job",
          "[integration]") {
  if (!has_encoders()) TITAN_SKIP(kNoGolden);
  const TemporaryFolder folder;
  train_shapes(folder, {"--checkpoint.model_weights_only"});
  std::string many;
  for (int k = 0; k < 60; ++k) many += "a blue star, number " + std::to_string(k) + "\n";
  folder.write("prompts.txt", many);
  const Arguments slow = {"--sampling.steps=40"};
  infer_well(folder, "whole", slow);
  CHECK(titan::find_text(words_of(picture(folder, "whole", 0)), "averages") == "yes");

  Process stopped(infer_command(folder, "out", slow), {{"NGPU", "2"}});
  REQUIRE(stopped.wait_for_output("60 prompts of", 60));
  const ProcessResult second = infer(folder, "out", slow);
  stopped.signal(SIGTERM);
  const ProcessResult first = stopped.wait(60);
  INFO(first.output);
  REQUIRE(first.exit_code == 3);
  REQUIRE(first.mentions("the same command goes on"));
  refused(second, {"still alive", "--inference.save_path"});
  REQUIRE_FALSE(fs::exists(folder / "out/grid.png"));

  Process killed(infer_command(folder, "out", slow));
  REQUIRE(killed.wait_for_output("60 prompts of", 60));
  killed.signal(SIGKILL);
  killed.wait(60);
  const ProcessResult last = infer(folder, "out", slow);
  INFO(last.output);
  REQUIRE(last.exit_code == 0);
  for (const auto& entry : fs::directory_iterator(folder / "whole")) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".png") continue;
    INFO(name);
    CHECK(slurp(entry.path().string()) == slurp(folder / ("out/" + name)));
  }
  const ProcessResult again = infer(folder, "out", slow);
  CHECK(again.mentions("60 of 60"));
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
  refused(sample({"--prompt=x", "--encoder.t5_encoder="}), {"scripts/download.sh t5"});
}

TEST_CASE("what inference lacks is said with how to get it", "[integration]") {
  const TemporaryFolder folder;
  const ProcessResult trained = train(
      tiny_flux(folder / "run", {"--training.steps=2", "--eval.dataset=", "--checkpoint.interval=1",
                                 "--checkpoint.keep_latest_k=2"}));
  INFO(trained.output);
  REQUIRE(trained.exit_code == 0);

  refused(infer(folder, "out"), {"prompts.txt", "one prompt a line"});
  folder.write("prompts.txt", " \n\n");
  refused(infer(folder, "out"), {"holds no prompts"});
  folder.write("prompts.txt", "good\nK\xE4se\n");
  refused(infer(folder, "out"), {"prompts.txt:2", "UTF-8"});
  folder.write("prompts.txt", kPrompts);
  refused(infer(folder, "out"), {"scripts/download.sh t5", "scripts/download.sh clip"});
  refused(infer(folder, "out", {}, {{"NGPU", "2"}}), {"scripts/download.sh t5"});
  refused(infer(folder, "out", {"--checkpoint.load_step=7"}), {"no step 7", "1, 2"});
  refused(
      infer(folder, "out", {"--config=flux_debug", "--job.dump_folder=" + (folder / "elsewhere")}),
      {"neither checkpoints nor weights", "elsewhere", "LOGDIR"});
  refused(infer(folder, "out", {"--inference.prompt_path=x"}), {"inference.prompts_path"});
  CHECK_FALSE(fs::exists(folder / "out"));
  CHECK(run({kTitanBinary, "infer", "--help"}).mentions("--inference.prompts_path"));

  REQUIRE(train(tiny_job(folder / "classes", {"--checkpoint.enable_checkpoint"})).exit_code == 0);
  refused(infer(folder, "out", {"--job.dump_folder=" + (folder / "classes")}),
          {"takes no text", "titan sample"});
  refused(run({kTitanBinary, "sample", folder / "classes", "--prompt=a cat"}), {"takes no text"});
}
