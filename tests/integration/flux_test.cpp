// The Flux job as a user runs it, on a toy scale and synthetic data; and what happens on a loss
// that is no number.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/integration/training.h"
#include "tests/support/catch.h"
#include "tests/support/golden_root.h"

using namespace titan::testing;
namespace fs = std::filesystem;

namespace {

std::vector<double> evaluations(const std::string& run_folder) {
  std::vector<double> losses;
  for (const nlohmann::json& line : metric_lines(run_folder, "eval"))
    losses.push_back(line.at("loss").get<double>());
  return losses;
}

/// A file of 24 latents of 3 x 8 x 8 with labels; one value of sample 13 is NaN.
void write_poisoned_latents(const std::string& path) {
  std::vector<float> latents(24 * 3 * 8 * 8);
  for (std::size_t i = 0; i < latents.size(); ++i)
    latents[i] = std::sin(0.1F * static_cast<float>(i));
  latents[13 * 3 * 8 * 8 + 5] = NAN;
  std::vector<int64_t> labels(24);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int64_t>(i % 3);
  const std::size_t split = latents.size() * sizeof(float),
                    end = split + labels.size() * sizeof(int64_t);
  std::string header = R"({"latents":{"dtype":"F32","shape":[24,3,8,8],"data_offsets":[0,)" +
                       std::to_string(split) +
                       R"(]},"labels":{"dtype":"I64","shape":[24],"data_offsets":[)" +
                       std::to_string(split) + "," + std::to_string(end) + "]}}";
  while (header.size() % 8 != 0) header += ' ';
  const uint64_t length = header.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << header;
  file.write(reinterpret_cast<const char*>(latents.data()), static_cast<std::streamsize>(split));
  file.write(reinterpret_cast<const char*>(labels.data()),
             static_cast<std::streamsize>(end - split));
}

std::vector<std::string> poisoned_job(const std::string& run_folder, const std::string& data,
                                      const std::vector<std::string>& extra = {}) {
  std::vector<std::string> arguments =
      tiny_job(run_folder, {"--training.dataset=latents", "--training.dataset_path=" + data,
                            "--dataset.image_size=8,8", "--training.no-shuffle",
                            "--training.batch_size=4", "--training.steps=5"});
  arguments.insert(arguments.end(), extra.begin(), extra.end());
  return arguments;
}

}  // namespace

TEST_CASE("the Flux job trains, evaluates and can be sampled from", "[integration]") {
  const TemporaryFolder folder;
  const std::string run_folder = folder / "run";
  const ProcessResult result = train(tiny_flux(run_folder));
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  REQUIRE(result.mentions("27 samples every 4 steps (32 training samples)"));
  const auto lines = metric_lines(run_folder, "eval");
  REQUIRE(lines.size() == 3);
  REQUIRE(lines[1].at("step") == 8);
  REQUIRE(lines[1].at("train_samples") == 64);
  double sum = 0;
  for (int k = 0; k < 8; ++k) sum += lines[1].at("loss_t" + std::to_string(k)).get<double>();
  REQUIRE(lines[1].at("loss").get<double>() == Approx(sum / 8).epsilon(1e-12));
  REQUIRE(lines[2].at("loss").get<double>() < lines[0].at("loss").get<double>());

  const ProcessResult sampled = run({kTitanBinary, "sample", run_folder, "--sampling.num_samples=3",
                                     "--sampling.steps=2", "--sampling.guidance=1,4"});
  INFO(sampled.output);
  REQUIRE(sampled.exit_code == 0);
  REQUIRE(fs::exists(run_folder + "/samples/sample.png"));
  REQUIRE(slurp(run_folder + "/samples/sample.safetensors").find("latents.guidance_4") !=
          std::string::npos);
  const ProcessResult from_file =
      run({kTitanBinary, "sample", run_folder,
           "--encodings=" + run_folder + "/samples/sample.safetensors"});
  INFO(from_file.output);
  REQUIRE(from_file.exit_code == 2);
  REQUIRE(from_file.mentions("t5_encodings"));
}

TEST_CASE("evaluation gives the same on 1, 2 and 3 ranks and after a resume", "[integration]") {
  const TemporaryFolder folder;
  REQUIRE(train(tiny_flux(folder / "1", {"--training.batch_size=12"}), {{"NGPU", "1"}}).exit_code ==
          0);
  const std::vector<double> one = evaluations(folder / "1");
  REQUIRE(one.size() == 4);  // 32 samples are rounded up to 3 steps of 12
  for (const auto& [ranks, batch] : {std::pair{"2", "6"}, std::pair{"3", "4"}}) {
    const std::string run_folder = folder / ranks;
    const ProcessResult result = train(
        tiny_flux(run_folder, {"--training.batch_size=" + std::string(batch)}), {{"NGPU", ranks}});
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    const std::vector<double> several = evaluations(run_folder);
    REQUIRE(several.size() == one.size());
    // 2e-5: gradients summed in another order, carried through AdamW.
    for (std::size_t i = 0; i < one.size(); ++i)
      REQUIRE(several[i] == Approx(one[i]).epsilon(2e-5));
  }
  const std::string resumed = folder / "resumed";
  REQUIRE(train(tiny_flux(resumed, {"--training.batch_size=12", "--training.steps=6"})).exit_code ==
          0);
  REQUIRE(train(tiny_flux(resumed, {"--training.batch_size=12"})).exit_code == 0);
  REQUIRE(evaluations(resumed) == one);
}

TEST_CASE("a met target ends the run, is saved, and is remembered", "[integration]") {
  const TemporaryFolder folder;
  const std::string run_folder = folder / "run";
  const ProcessResult result = train(tiny_flux(run_folder, {"--eval.target_eval_loss=100"}));
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  REQUIRE(result.mentions("met the target 100"));
  REQUIRE(losses(run_folder).size() == 4);
  REQUIRE(fs::exists(run_folder + "/checkpoint/step-000004/index.json"));
  const ProcessResult again = train(tiny_flux(run_folder, {"--eval.target_eval_loss=100"}));
  INFO(again.output);
  REQUIRE(again.exit_code == 0);
  REQUIRE(again.mentions("this run is finished"));
  const ProcessResult onward = train(tiny_flux(run_folder, {"--eval.target_eval_loss=0"}));
  INFO(onward.output);
  REQUIRE(onward.exit_code == 0);
  REQUIRE(losses(run_folder).size() == 12);
}

TEST_CASE("what the Flux job lacks is said, with the way to get it", "[integration]") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::vector<std::string>& arguments,
                           const std::vector<std::string>& mentions) {
    std::vector<std::string> all = arguments;
    all.push_back("--job.dump_folder=" + (folder / "run"));
    const ProcessResult result = train(all);
    INFO(result.output);
    REQUIRE(result.exit_code == 2);
    for (const std::string& text : mentions) {
      INFO("looking for: " << text);
      REQUIRE(result.mentions(text));
    }
  };
  refused({"--config=flux_schnell_mlperf"},
          {"cc12m_disk", "training.dataset_path does not exist", "scripts/download.sh cc12m"});
  refused({"--config=flux_schnell_mlperf_preprocessed",
           "--training.dataset_path=" + (folder / "absent")},
          {"absent"});
  refused({"--config=flux_debug", "--eval.dataset=nothing"}, {"eval.dataset", "nothing"});
  refused({"--config=flux_debug", "--model.args.context_in_dim=48"},
          {"context_in_dim=48, data=64"});
  refused({"--config=flux_debug", "--training.dataset=synthetic", "--dataset.channels=16"},
          {"t5_encodings"});
  refused({"--config=flux_debug", "--encoder.empty_encodings_path=" + (folder / "absent")},
          {"absent"});
}

TEST_CASE("the MLPerf job runs on folders that the reference has written", "[integration]") {
  const auto root = golden_root();
  if (!root || !fs::exists(*root / "data/arrow/empty_encodings_loaded.json")) TITAN_SKIP(kNoGolden);
  const fs::path arrow = *root / "data/arrow";
  const auto sizes = nlohmann::json::parse(slurp((arrow / "empty_encodings_loaded.json").string()));
  const auto width = [&](const char* name) {
    return std::to_string(sizes.at("tensors").at(name).at("shape").back().get<int64_t>());
  };
  const TemporaryFolder folder;
  const ProcessResult result =
      train({"--config=flux_schnell_mlperf_preprocessed", "--job.dump_folder=" + (folder / "run"),
             "--model.flavor=flux-debug", "--model.args.hidden_size=32", "--model.args.num_heads=2",
             "--model.args.axes_dim=4,6,6", "--encoder.context_in_dim=" + width("t5"),
             "--encoder.vec_in_dim=" + width("clip"),
             "--encoder.empty_encodings_path=" + (arrow / "empty_encodings").string(),
             "--training.dataset_path=" + (arrow / "cc12m_preprocessed").string(),
             "--eval.dataset_path=" + (arrow / "coco_preprocessed").string(),
             "--training.batch_size=4", "--training.steps=4", "--eval.eval_freq=8",
             "--optimizer.lr=1e-3", "--training.seed=5", "--metrics.log_freq=1"});
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  const std::vector<double> losses_of_run = evaluations(folder / "run");
  REQUIRE(losses_of_run.size() == 2);
  // At the start the prediction is zero, so the loss is the variance of noise minus latent:
  // above 1.
  REQUIRE((losses_of_run[0] > 1 && losses_of_run[0] < 10));
  REQUIRE(losses(folder / "run").size() == 4);
}

TEST_CASE("a loss that is no number ends the run and names the sample", "[integration]") {
  const TemporaryFolder folder;
  const std::string data = folder / "poisoned.safetensors";
  write_poisoned_latents(data);
  for (const char* ranks : {"1", "2"}) {
    const std::string run_folder = folder / (std::string("stop") + ranks);
    const std::string batch = std::string("--training.batch_size=") + (*ranks == '1' ? "4" : "2");
    const ProcessResult result = train(poisoned_job(run_folder, data, {batch}), {{"NGPU", ranks}});
    INFO(result.output);
    REQUIRE(result.exit_code == 1);
    // Sample 13 stands in the fourth batch of four.
    REQUIRE(result.mentions("step 4: the loss is not a finite number for sample 13 ("));
  }
}

TEST_CASE("the policy skip leaves out a bad step and goes on", "[integration]") {
  const TemporaryFolder folder;
  const std::string data = folder / "poisoned.safetensors";
  write_poisoned_latents(data);
  const ProcessResult result = train(poisoned_job(
      folder / "skip", data, {"--training.on_nonfinite=skip", "--checkpoint.enable_checkpoint"}));
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  REQUIRE(result.mentions("step 4 left out: the loss is not a finite number for sample 13"));
  const auto lines = metric_lines(folder / "skip");
  REQUIRE(lines.size() == 5);
  REQUIRE(lines[3].at("loss").is_null());
  REQUIRE(lines[4].at("loss").is_number());
  REQUIRE(metric_lines(folder / "skip", "event").front().at("event") == "nonfinite");
}
