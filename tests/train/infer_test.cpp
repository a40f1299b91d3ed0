// `titan infer` as a process, on a run of tests/train/infer_program.cpp.
#include "tests/support/catch.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "titan/io/image_decode.h"
#include "titan/io/png_text.h"

#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

using Arguments = std::vector<std::string>;
using Environment = std::map<std::string, std::string>;

const char* const kProgram = TITAN_BINARY_FOLDER "/infer_program";
const char* const kPrompts =
    "a red circle\r\n\na small blue triangle\nein grüner Würfel, 立方体\na yellow star\na heart\n";

/// A run of four steps with averages; a checkpoint every two.
void train_waves(const std::string& run_folder, const Arguments& extra = {}) {
  Arguments command = {kProgram,
                       "--config=flux_debug",
                       "--job.dump_folder=" + run_folder,
                       "--job.num_threads=1",
                       "--model.name=flux_of_waves",
                       "--model.args.hidden_size=32",
                       "--model.args.axes_dim=4,6,6",
                       "--training.batch_size=4",
                       "--training.steps=4",
                       "--training.mixed_precision_param=float32",
                       "--eval.dataset=",
                       "--checkpoint.interval=2",
                       "--sampling.no-enable",
                       "--optimizer.lr=2e-2",  // every step moves the pixels
                       "--ema.enable",
                       "--ema.half_life=4"};
  command.insert(command.end(), extra.begin(), extra.end());
  const ProcessResult trained = run(command);
  INFO(trained.output);
  REQUIRE(trained.exit_code == 0);
}

/// The verb on folder/run, whose own config it takes.
Arguments infer_command(const TemporaryFolder& folder, const std::string& save_path,
                        const Arguments& extra = {}) {
  Arguments command = {kProgram,
                       "infer",
                       "--job.dump_folder=" + (folder / "run"),
                       "--inference.save_path=" + (folder / save_path),
                       "--inference.prompts_path=" + (folder / "prompts.txt"),
                       "--inference.batch_size=2",
                       "--encoder.t5_encoder=waves",
                       "--encoder.autoencoder_path=waves",
                       "--sampling.steps=3",
                       "--sampling.guidance=3"};
  command.insert(command.end(), extra.begin(), extra.end());
  return command;
}

/// Draws to folder/save_path, with files that the settings name.
void infer_well(const TemporaryFolder& folder, const std::string& save_path,
                const Arguments& extra = {}, const Environment& environment = {}) {
  const ProcessResult result = run(infer_command(folder, save_path, extra), environment);
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
}

std::string picture(const TemporaryFolder& folder, const std::string& save_path, int number) {
  return folder / (save_path + "/img_00000" + std::to_string(number) + ".png");
}

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

titan::PngText words_of(const std::string& path) {
  return titan::read_png_text(bytes_of(slurp(path))).value();
}

/// Largest difference of two pictures' bytes.
int difference(const std::string& one, const std::string& other) {
  const titan::Image a = titan::decode_image(bytes_of(slurp(one))).value();
  const titan::Image b = titan::decode_image(bytes_of(slurp(other))).value();
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

/// Where encoders of the wave kind "lie": the program runs here, their paths are files.
class Workplace {
 public:
  Workplace() : before_(fs::current_path()) {
    folder.write("waves", "no weights");
    folder.write("prompts.txt", kPrompts);
    fs::current_path(folder.path());
  }
  ~Workplace() { fs::current_path(before_); }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  TemporaryFolder folder;

 private:
  fs::path before_;
};

}  // namespace

TEST_CASE("prompts become the same pictures on 1, 2 and 3 ranks, sharded or not", "[infer]") {
  const Workplace place;
  const TemporaryFolder& folder = place.folder;
  train_waves(folder / "run");
  infer_well(folder, "one");
  CHECK(fs::exists(folder / "one/grid.png"));
  CHECK(fs::exists(picture(folder, "one", 4)));
  CHECK_FALSE(fs::exists(picture(folder, "one", 5)));
  CHECK(difference(picture(folder, "one", 0), picture(folder, "one", 1)) > 0);
  const Arguments sharded = {"--parallelism.data_parallel_shard_degree=-1",
                             "--parallelism.data_parallel_replicate_degree=1"};
  infer_well(folder, "two", {}, {{"NGPU", "2"}});
  infer_well(folder, "sharded", sharded, {{"NGPU", "3"}});
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
  for (const auto& [keyword, text] :
       std::map<std::string, std::string>{{"prompt", "ein grüner Würfel, 立方体"},
                                          {"weights_step", "4"},
                                          {"averages", "yes"},
                                          {"steps", "3"},
                                          {"guidance", "3"},
                                          {"seed", "0"},
                                          {"picture", "2"},
                                          {"model", "flux_of_waves flux-debug"}}) {
    INFO(keyword);
    CHECK(titan::find_text(words, keyword) == text);
  }
}

TEST_CASE("weights are the run's last, those of a step, averages or not, or of elsewhere",
          "[infer]") {
  const Workplace place;
  const TemporaryFolder& folder = place.folder;
  train_waves(folder / "run");
  infer_well(folder, "last");
  infer_well(folder, "early", {"--checkpoint.load_step=2"});
  CHECK(titan::find_text(words_of(picture(folder, "early", 0)), "weights_step") == "2");
  CHECK(difference(picture(folder, "early", 0), picture(folder, "last", 0)) > 0);
  infer_well(folder, "live", {"--sampling.no-use_ema"});
  CHECK(titan::find_text(words_of(picture(folder, "live", 0)), "averages") == "no");
  CHECK(difference(picture(folder, "live", 0), picture(folder, "last", 0)) > 0);

  CHECK(run(infer_command(folder, "last")).mentions("5 of 5 prompts are there already"));
  infer_well(folder, "last", {"--sampling.seed=1"});
  CHECK(titan::find_text(words_of(picture(folder, "last", 3)), "seed") == "1");
  infer_well(folder, "last");

  // The same training again, but its end saves the weights alone: the same pictures.
  fs::rename(folder / "run", folder / "first");
  train_waves(folder / "run", {"--checkpoint.model_weights_only"});
  REQUIRE(fs::exists(folder / "run/checkpoint/weights-ema-000004.safetensors"));
  infer_well(folder, "alone");
  CHECK(difference(picture(folder, "alone", 0), picture(folder, "last", 0)) == 0);
  infer_well(folder, "alone_live", {"--sampling.no-use_ema"});
  CHECK(difference(picture(folder, "alone_live", 0), picture(folder, "live", 0)) == 0);

  // No run: a config, weights, and pictures of the settings' size.
  const Arguments no_run = {
      "--config=" + (folder / "first/config.toml"), "--job.dump_folder=" + (folder / "nowhere"),
      "--checkpoint.initial_load_path=" + (folder / "run/checkpoint/weights-000004.safetensors")};
  infer_well(folder, "elsewhere", no_run);
  CHECK(difference(picture(folder, "elsewhere", 0), picture(folder, "live", 0)) == 0);
}

TEST_CASE("inference goes on after SIGTERM and SIGKILL, and refuses a second job", "[infer]") {
  const Workplace place;
  const TemporaryFolder& folder = place.folder;
  train_waves(folder / "run");
  std::string many;
  for (int k = 0; k < 60; ++k) many += "a blue star, number " + std::to_string(k) + "\n";
  folder.write("prompts.txt", many);
  const Arguments slow = {"--sampling.steps=40"};
  infer_well(folder, "whole", slow);

  Process stopped(infer_command(folder, "out", slow), {{"NGPU", "2"}});
  REQUIRE(stopped.wait_for_output("60 prompts of", 60));
  const ProcessResult second = run(infer_command(folder, "out", slow));
  stopped.signal(SIGTERM);
  const ProcessResult first = stopped.wait(60);
  INFO(first.output);
  REQUIRE(first.exit_code == 3);
  CHECK(first.mentions("the same command goes on"));
  refused(second, {"still alive", "--inference.save_path"});
  CHECK_FALSE(fs::exists(folder / "out/grid.png"));

  Process killed(infer_command(folder, "out", slow));
  REQUIRE(killed.wait_for_output("60 prompts of", 60));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  killed.signal(SIGKILL);
  killed.wait(60);
  infer_well(folder, "out", slow);
  int pictures = 0;
  for (const auto& entry : fs::directory_iterator(folder / "whole")) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".png") continue;
    ++pictures;
    INFO(name);
    CHECK(slurp(entry.path().string()) == slurp(folder / ("out/" + name)));
  }
  CHECK(pictures == 61);
  CHECK(run(infer_command(folder, "out", slow)).mentions("60 of 60 prompts are there already"));
}

TEST_CASE("what inference lacks is said with how to get it, before anything is written",
          "[infer]") {
  const Workplace place;
  const TemporaryFolder& folder = place.folder;
  train_waves(folder / "run");
  const auto infer = [&](const Arguments& extra, const Environment& environment = {}) {
    return run(infer_command(folder, "out", extra), environment);
  };
  refused(infer({"--encoder.t5_encoder="}), {"scripts/download.sh t5", "scripts/download.sh clip"});
  refused(infer({"--encoder.t5_encoder="}, {{"NGPU", "2"}}), {"scripts/download.sh t5"});
  refused(infer({"--encoder.autoencoder_path="}),
          {"scripts/download.sh autoencoder", "encoder.decoder_path"});
  refused(infer({"--checkpoint.load_step=7"}), {"no step 7", "2, 4", "--checkpoint.load_step"});
  refused(infer({"--config=" + (folder / "run/config.toml"),
                 "--job.dump_folder=" + (folder / "elsewhere")}),
          {"neither checkpoints nor weights", "elsewhere", "LOGDIR"});
  refused(infer({"--inference.prompts_path=" + (folder / "none.txt")}),
          {"none.txt", "one prompt a line"});
  folder.write("prompts.txt", "good\nK\xE4se\n");
  refused(infer({}), {"prompts.txt:2", "UTF-8"});
  refused(infer({}, {{"NGPU", "2"}}), {"prompts.txt:2", "UTF-8"});
  CHECK_FALSE(fs::exists(folder / "out"));
}
