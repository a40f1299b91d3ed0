// Starting from weights of another run, leaving parts of a checkpoint out, and saving weights
// alone.
#include <cstring>
#include <filesystem>

#include "tests/integration/training.h"
#include "tests/support/catch.h"
#include "titan/io/safetensors.h"

using namespace titan;
using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

/// A run of its own folder; returns its losses.
std::map<int64_t, double> trained(const std::string& run_folder,
                                  const std::vector<std::string>& extra) {
  const ProcessResult result = train(tiny_job(run_folder, extra));
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  return losses(run_folder);
}

void refused(const std::string& run_folder, const std::vector<std::string>& extra,
             const std::vector<std::string>& mentions) {
  const ProcessResult result = train(tiny_job(run_folder, extra));
  INFO(result.output);
  CHECK(result.exit_code == 2);
  for (const std::string& text : mentions) {
    INFO("looking for: " << text);
    CHECK(result.mentions(text));
  }
}

const std::string kSave = "--checkpoint.enable_checkpoint";

}  // namespace

TEST_CASE("a run starts from another run's weights, in whatever form", "[integration]") {
  const TemporaryFolder folder;
  trained(folder / "a", {kSave, "--training.steps=3"});
  const ProcessResult converted =
      run({kTitanBinary, "convert", folder / "a", folder / "a.safetensors", "--to=own"});
  INFO(converted.output);
  REQUIRE(converted.exit_code == 0);

  const auto fresh = trained(folder / "fresh", {"--training.steps=2"});
  const auto from = [&](const std::string& path) {
    static int count = 0;
    return trained(folder / ("from" + std::to_string(count++)),
                   {"--training.steps=2", "--checkpoint.initial_load_path=" + path});
  };
  const auto of_run = from(folder / "a");
  CHECK(of_run != fresh);
  CHECK(from(folder / "a/checkpoint") == of_run);
  CHECK(from(folder / "a/checkpoint/step-000003") == of_run);
  CHECK(from(folder / "a.safetensors") == of_run);
}

TEST_CASE("initial_load_model_weights_only=false goes on with everything", "[integration]") {
  const TemporaryFolder folder;
  const auto whole = trained(folder / "whole", {"--training.steps=6"});
  // Stopped at step 3 of 6: the schedule is that of the whole run.
  trained(folder / "a", {kSave, "--checkpoint.interval=3", "--training.steps=6"});
  const std::string at3 = folder / "a/checkpoint/step-000003";
  const std::vector<std::string> all = {"--training.steps=6",
                                        "--checkpoint.initial_load_path=" + at3,
                                        "--checkpoint.no-initial_load_model_weights_only"};
  const auto rest = trained(folder / "b", all);
  CHECK(rest.size() == 3);
  for (const auto& [step, loss] : rest) CHECK(loss == whole.at(step));

  const auto without = [&](const std::string& part) {
    std::vector<std::string> arguments = all;
    arguments.push_back("--checkpoint.exclude_from_loading=" + part);
    return trained(folder / ("without_" + part), arguments);
  };
  const auto no_optimizer = without("optimizer");
  CHECK(no_optimizer.size() == 3);
  CHECK(no_optimizer.at(4) == rest.at(4));  // the same weights, data and noise
  CHECK(no_optimizer.at(6) != rest.at(6));
  const auto no_data = without("dataloader");
  CHECK(no_data.size() == 3);
  CHECK(no_data.at(4) != rest.at(4));
  CHECK(without("train_state").size() == 6);
  const auto no_schedule = without("lr_scheduler");
  CHECK(no_schedule.at(4) == rest.at(4));
  CHECK(no_schedule.at(6) != rest.at(6));
  CHECK(without("model").at(4) != rest.at(4));

  refused(folder / "c", {"--checkpoint.exclude_from_loading=optimiser"},
          {"optimiser", "optimizer"});
  refused(folder / "c",
          {"--checkpoint.initial_load_path=" + folder.path().string(),
           "--checkpoint.no-initial_load_model_weights_only"},
          {"no checkpoint of titan"});
}

TEST_CASE("load_step goes on from the step it names", "[integration]") {
  const TemporaryFolder folder;
  const std::vector<std::string> job = {kSave, "--checkpoint.interval=2", "--training.steps=6"};
  const auto whole = trained(folder / "run", job);
  const auto with = [&](const std::string& setting) {
    std::vector<std::string> arguments = job;
    arguments.push_back(setting);
    return arguments;
  };
  const std::string at6 = folder / "run/checkpoint/step-000006/rank-00000.safetensors";
  const std::string state = slurp(at6);
  fs::remove_all(folder / "run/checkpoint/step-000006");
  CHECK(trained(folder / "run", with("--checkpoint.load_step=2")) == whole);
  CHECK(slurp(at6) == state);
  refused(folder / "run", with("--checkpoint.load_step=3"), {"step 3", "2, 4, 6"});
  const ProcessResult off =
      train(tiny_job(folder / "off", {"--training.steps=1", "--checkpoint.no-enable_checkpoint",
                                      "--checkpoint.load_step=2"}));
  CHECK(off.mentions("checkpoint.load_step: has no effect while checkpoint.enable_checkpoint"));
}

TEST_CASE("exclude_from_loading also leaves out averages, and weights alone", "[integration]") {
  const TemporaryFolder folder;
  const std::vector<std::string> job = {kSave, "--ema.enable", "--ema.decay=0.5",
                                        "--checkpoint.interval=3", "--training.steps=6"};
  trained(folder / "a", job);
  const auto averages_from = [&](const std::string& name, const std::string& excluded) {
    std::vector<std::string> arguments = job;
    arguments.insert(arguments.end(),
                     {"--checkpoint.initial_load_path=" + (folder / "a/checkpoint/step-000003"),
                      "--checkpoint.no-initial_load_model_weights_only",
                      "--checkpoint.exclude_from_loading=" + excluded});
    trained(folder / name, arguments);
    const std::string path = folder / name + ".safetensors";
    const ProcessResult result =
        run({kTitanBinary, "convert", folder / name, path, "--to=own", "--weights=ema"});
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    return slurp(path);
  };
  const std::string kept = averages_from("kept", "");
  CHECK(averages_from("anew", "ema") != kept);
  CHECK(averages_from("again", "") == kept);

  const auto fresh = trained(folder / "fresh", {"--training.steps=1"});
  const std::string weights = "--checkpoint.initial_load_path=" + (folder / "a");
  CHECK(trained(folder / "b", {"--training.steps=1", weights}) != fresh);
  CHECK(trained(folder / "c", {"--training.steps=1", weights,
                               "--checkpoint.exclude_from_loading=model"}) == fresh);
}

TEST_CASE("export_dtype: the saved weights are the checkpoint's, rounded", "[integration]") {
  const TemporaryFolder folder;
  trained(folder / "a", {kSave, "--training.steps=3"});
  for (const auto& [name, type] :
       {std::pair{"float32", TensorType::kF32}, std::pair{"bfloat16", TensorType::kBF16},
        std::pair{"float16", TensorType::kF16}}) {
    const std::string dtype = name;
    trained(folder / dtype, {kSave, "--training.steps=3", "--checkpoint.model_weights_only",
                             "--checkpoint.export_dtype=" + dtype});
    const std::string converted = folder / dtype + ".safetensors";
    REQUIRE(run({kTitanBinary, "convert", folder / "a", converted, "--to=own", "--dtype=" + dtype})
                .exit_code == 0);
    const auto expected = SafetensorsFile::open(converted);
    const auto saved =
        SafetensorsFile::open(folder / dtype + "/checkpoint/weights-000003.safetensors");
    REQUIRE((expected.ok() && saved.ok()));
    CHECK(saved->entries().size() == expected->entries().size());
    for (const TensorEntry& entry : expected->entries()) {
      INFO(dtype << " " << entry.name);
      const TensorEntry* found = saved->find(entry.name);
      REQUIRE(found != nullptr);
      CHECK(found->type == type);
      REQUIRE(found->size_bytes == entry.size_bytes);
      CHECK(std::memcmp(found->data, entry.data, entry.size_bytes) == 0);
    }
  }
  refused(folder / "b", {"--checkpoint.export_dtype=int8"}, {"export_dtype", "bfloat16"});
}

TEST_CASE("model_weights_only: the last step saves weights alone", "[integration]") {
  const TemporaryFolder folder;
  const std::vector<std::string> job = {kSave, "--training.steps=4", "--checkpoint.interval=2",
                                        "--checkpoint.model_weights_only",
                                        "--checkpoint.export_dtype=bfloat16"};
  trained(folder / "a", job);
  CHECK(fs::exists(folder / "a/checkpoint/step-000002"));
  CHECK_FALSE(fs::exists(folder / "a/checkpoint/step-000004"));
  const std::string path = folder / "a/checkpoint/weights-000004.safetensors";
  const auto file = SafetensorsFile::open(path);
  REQUIRE(file.ok());
  for (const TensorEntry& entry : file->entries()) CHECK(entry.type == TensorType::kBF16);

  const ProcessResult again = train(tiny_job(folder / "a", job));
  INFO(again.output);
  CHECK(again.exit_code == 0);
  CHECK(again.mentions("this run is finished"));
  std::vector<std::string> longer = job;
  longer[1] = "--training.steps=8";
  refused(folder / "a", longer, {"weights alone", "--checkpoint.initial_load_path=" + path});
  CHECK(trained(folder / "b", {"--training.steps=1", "--checkpoint.initial_load_path=" + path})
            .size() == 1);
}

TEST_CASE("weights that do not fit the run are named", "[integration]") {
  const TemporaryFolder folder;
  trained(folder / "a", {kSave, "--training.steps=1"});
  refused(folder / "b",
          {"--model.args.n_layers=3", "--checkpoint.initial_load_path=" + (folder / "a")},
          {"another size", "missing", "layers.2"});
  refused(folder / "b", {"--checkpoint.initial_load_path=" + (folder / "absent")},
          {"absent", "does not exist"});
}
