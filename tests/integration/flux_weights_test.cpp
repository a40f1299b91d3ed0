// A Flux run that starts from published weights: whatever the names, the first steps are those of
// the same weights to the bit; other weights are refused by name.
#include <algorithm>
#include <filesystem>

#include "tests/integration/training.h"
#include "tests/support/catch.h"
#include "titan/io/safetensors_set.h"

using namespace titan;
using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

using Losses = std::map<int64_t, double>;

/// Few steps, no evaluation.
std::vector<std::string> short_flux(const std::string& run_folder, int steps,
                                    const std::vector<std::string>& extra = {}) {
  std::vector<std::string> arguments =
      tiny_flux(run_folder, {"--training.steps=" + std::to_string(steps), "--eval.dataset="});
  arguments.insert(arguments.end(), extra.begin(), extra.end());
  return arguments;
}

Losses trained(const std::string& run_folder, int steps,
               const std::vector<std::string>& extra = {}) {
  const ProcessResult result = train(short_flux(run_folder, steps, extra));
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  return losses(run_folder);
}

/// Losses of two steps from the weights at `path`; the run must say whose names they have.
Losses started_from(const std::string& path, const std::string& format,
                    const std::string& run_folder) {
  const ProcessResult result =
      train(short_flux(run_folder, 2, {"--checkpoint.initial_load_path=" + path}));
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  CHECK(result.mentions("names of " + format));
  return losses(run_folder);
}

void converted(const std::string& from, const std::string& to, const std::string& format) {
  const ProcessResult result = run({kTitanBinary, "convert", from, to, "--to=" + format});
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
}

void refused(const std::string& run_folder, const std::vector<std::string>& extra,
             const std::vector<std::string>& mentions) {
  const ProcessResult result = train(short_flux(run_folder, 1, extra));
  INFO(result.output);
  CHECK(result.exit_code == 2);
  for (const std::string& text : mentions) {
    INFO("looking for: " << text);
    CHECK(result.mentions(text));
  }
  CHECK(losses(run_folder).empty());
}

std::vector<std::string> names_in(const std::string& path) {
  const auto set = SafetensorsSet::open(path);
  REQUIRE(set.ok());
  std::vector<std::string> names;
  for (const TensorSpec& tensor : set->tensors()) names.push_back(tensor.name);
  return names;
}

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

TEST_CASE("a Flux run starts from weights under every published naming", "[integration]") {
  const TemporaryFolder folder;
  trained(folder / "a", 4);  // past step 0, where the head is zero and hides all other weights
  converted(folder / "a", folder / "bfl.safetensors", "bfl");
  converted(folder / "bfl.safetensors", folder / "diffusers", "diffusers");
  converted(folder / "diffusers", folder / "torchtitan", "torchtitan");
  converted(folder / "diffusers", folder / "seed", "titan");
  CHECK(has(names_in(folder / "bfl.safetensors"), "double_blocks.0.img_attn.qkv.weight"));
  CHECK(has(names_in(folder / "diffusers"), "transformer_blocks.0.attn.to_q.weight"));
  CHECK_FALSE(has(names_in(folder / "diffusers"), "double_blocks.0.img_attn.qkv.weight"));

  // The same weights by another way: the checkpoint taken over whole, all else left out.
  const Losses same =
      trained(folder / "same", 2,
              {"--checkpoint.initial_load_path=" + (folder / "a"),
               "--checkpoint.no-initial_load_model_weights_only",
               "--checkpoint.exclude_from_loading=optimizer,lr_scheduler,dataloader,train_state"});
  REQUIRE(same.size() == 2);
  CHECK(trained(folder / "fresh", 2).at(1) != same.at(1));

  CHECK(started_from(folder / "a", "bfl", folder / "of_run") == same);
  CHECK(started_from(folder / "bfl.safetensors", "bfl", folder / "of_bfl") == same);
  CHECK(started_from(folder / "diffusers", "diffusers", folder / "of_diffusers") == same);
  CHECK(started_from(folder / "torchtitan", "torchtitan", folder / "of_torchtitan") == same);
  CHECK(started_from(folder / "seed", "bfl", folder / "of_seed") == same);
}

TEST_CASE("titan sample draws from weights under every published naming", "[integration]") {
  const TemporaryFolder folder;
  trained(folder / "a", 4);
  converted(folder / "a", folder / "bfl.safetensors", "bfl");
  converted(folder / "a", folder / "diffusers", "diffusers");
  converted(folder / "diffusers", folder / "seed", "titan");
  const auto sample = [&](const std::vector<std::string>& extra) {
    std::vector<std::string> command = {kTitanBinary,           "sample",
                                        folder / "a",           "--latents=" + (folder / "latents"),
                                        "--sampling.steps=2",   "--sampling.num_samples=2",
                                        "--sampling.guidance=2"};
    command.insert(command.end(), extra.begin(), extra.end());
    return run(command);
  };
  const auto latents = [&](const std::vector<std::string>& extra) {
    fs::remove(folder / "latents");
    const ProcessResult result = sample(extra);
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    return slurp(folder / "latents");
  };
  const std::string own = latents({});
  CHECK(own.size() > 1000);
  CHECK(latents({"--step=4"}) == own);
  for (const char* weights : {"bfl.safetensors", "diffusers", "seed", "a"})
    CHECK(latents({"--weights=" + (folder / weights)}) == own);

  trained(folder / "other", 3);
  converted(folder / "other", folder / "other.safetensors", "diffusers");
  CHECK(latents({"--weights=" + (folder / "other.safetensors")}) != own);
  trained(folder / "deep", 1, {"--model.args.depth=3"});
  const auto refuses = [&](const std::string& setting, const std::vector<std::string>& mentions) {
    const ProcessResult result = sample({setting});
    INFO(result.output);
    CHECK(result.exit_code == 2);
    for (const std::string& text : mentions) {
      INFO("looking for: " << text);
      CHECK(result.mentions(text));
    }
  };
  refuses("--weights=" + (folder / "deep"), {"another size", "3 double", "2 double", "unknown"});
  refuses("--weights=" + (folder / "nothing"), {"nothing", "does not exist"});
  refuses("--step=3", {"no step 3", "there is: 4"});
}

TEST_CASE("titan sample draws from a run that saved its weights alone", "[integration]") {
  const TemporaryFolder folder;
  const std::vector<std::string> averaged = {"--ema.enable", "--ema.decay=0.5"};
  std::vector<std::string> alone = averaged;
  alone.push_back("--checkpoint.model_weights_only");
  trained(folder / "whole", 4, averaged);
  trained(folder / "alone", 4, alone);
  const auto latents = [&](const std::string& run_folder, const std::string& setting) {
    const ProcessResult result =
        run({kTitanBinary, "sample", folder / run_folder, "--latents=" + (folder / "latents"),
             "--sampling.steps=2", "--sampling.num_samples=2", setting});
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    return slurp(folder / "latents");
  };
  const std::string averages = latents("whole", "--sampling.use_ema");
  const std::string weights = latents("whole", "--sampling.no-use_ema");
  CHECK(averages != weights);
  CHECK(latents("alone", "--sampling.use_ema") == averages);
  CHECK(latents("alone", "--sampling.no-use_ema") == weights);
}

TEST_CASE("Flux weights saved alone have published names and start a run", "[integration]") {
  const TemporaryFolder folder;
  const auto saved = [&](const std::string& type) {
    trained(folder / type, 4,
            {"--checkpoint.model_weights_only", "--checkpoint.export_dtype=" + type});
    return folder / type + "/checkpoint/weights-000004.safetensors";
  };
  const std::string wide = saved("float32"), narrow = saved("bfloat16");
  CHECK(has(names_in(wide), "final_layer.adaLN_modulation.1.weight"));
  converted(wide, folder / "diffusers.safetensors", "diffusers");
  const Losses same = started_from(wide, "bfl", folder / "wide");
  CHECK(started_from(folder / "diffusers.safetensors", "diffusers", folder / "split") == same);
  // 2e-2: a bfloat16 keeps 8 bits of a weight.
  CHECK(started_from(narrow, "bfl", folder / "narrow").at(1) == Approx(same.at(1)).epsilon(2e-2));
}

TEST_CASE("weights of another flavor are refused by name", "[integration]") {
  const TemporaryFolder folder;
  trained(folder / "a", 1);
  converted(folder / "a", folder / "diffusers", "diffusers");
  for (const char* weights : {"a", "diffusers"}) {
    const std::string path = "--checkpoint.initial_load_path=" + (folder / weights);
    refused(folder / "deep", {path, "--model.args.depth=3"},
            {weights, "another size", "there: 2 double and 2 single blocks",
             "this run: 3 double and 2 single blocks", "missing: double_blocks.2."});
    refused(folder / "dev", {path, "--model.args.guidance_embed"},
            {weights, "another size", "without guidance embedding", "with guidance embedding",
             "missing: guidance_in.in_layer.weight"});
    refused(folder / "wide", {path, "--model.args.hidden_size=64", "--model.args.axes_dim=8,12,12"},
            {weights, "another size", "width 32", "width 64", "img_in.weight is [32, "});
  }
  const ProcessResult dit = train(
      tiny_job(folder / "dit", {"--training.steps=1", "--checkpoint.enable_checkpoint",
                                "--checkpoint.model_weights_only", "--checkpoint.interval=1"}));
  INFO(dit.output);
  REQUIRE(dit.exit_code == 0);
  refused(
      folder / "other",
      {"--checkpoint.initial_load_path=" + (folder / "dit/checkpoint/weights-000001.safetensors")},
      {"none of this model's", "bfl, diffusers, torchtitan", "layers.0."});
  refused(folder / "absent", {"--checkpoint.initial_load_path=" + (folder / "nothing")},
          {"nothing", "does not exist"});
}
