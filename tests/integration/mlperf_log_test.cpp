// The MLPerf log of real runs. The first is the benchmark's job in everything but size: 262,144
// samples of one token until its evaluation, far below the target because the latents are scaled to
// almost nothing.
#include "tests/integration/training.h"
#include "tests/metrics/mllog_rules.h"
#include "tests/support/catch.h"

using namespace titan::testing;

namespace {

/// One token of image and one of text, and a model just wide enough to pass the noise through; the
/// optimizer is the benchmark's.
constexpr const char* kJob = R"(
[job]
num_threads = 1
[model]
name = "flux"
flavor = "flux-debug"
[model.args]
hidden_size = 128
num_heads = 2
axes_dim = [16, 24, 24]
mlp_ratio = 1.0
depth = 1
depth_single_blocks = 0
[encoder]
max_t5_encoding_len = 1
context_in_dim = 8
vec_in_dim = 8
autoencoder_scale = 0.01
[training]
dataset = "flux_synthetic"
img_size = 16
max_norm = 1.0
[eval]
dataset = "flux_synthetic"
subset_size = 64
[optimizer]
lr = 0.003
[lr_scheduler]
warmup_steps = 0
decay_ratio = 0.0
[metrics]
mlperf_logging = true
[mlperf]
submission_org = "titan"
submission_platform = "a CPU"
)";

/// Arguments of a run in `folder`/`name`.
std::vector<std::string> tiny_flux(const TemporaryFolder& folder, const std::string& name,
                                   const std::vector<std::string>& extra) {
  std::vector<std::string> arguments = {"--config=" + folder.write("tiny_flux.toml", kJob),
                                        "--job.dump_folder=" + (folder / name)};
  arguments.insert(arguments.end(), extra.begin(), extra.end());
  return arguments;
}

/// Objects of the lines with this key.
std::vector<nlohmann::json> lines_of(const std::string& log, const std::string& key) {
  std::vector<nlohmann::json> found;
  std::istringstream text(log);
  std::string line;
  while (std::getline(text, line)) {
    nlohmann::json object = nlohmann::json::parse(line.substr(line.find('{')));
    if (object.at("key") == key) found.push_back(std::move(object));
  }
  return found;
}

}  // namespace

TEST_CASE("a run that meets the target passes the compliance rules", "[integration]") {
  const TemporaryFolder folder;
  const ProcessResult result =
      train(tiny_flux(folder, "run",
                      {"--training.seed=1", "--training.batch_size=1024", "--training.steps=300",
                       "--eval.eval_freq=262144", "--eval.target_eval_loss=0.586",
                       "--metrics.log_freq=64"}),
            {}, 300);
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  const std::string log = slurp(folder / "run/mlperf.log");
  for (const char* ruleset : {"5.1.0", "6.0.0", "6.1.0", "6.1.0 (4.1.68)"}) {
    INFO(ruleset);
    CHECK(judge_mllog(log, ruleset).text() == "");
    CHECK(judge_mllog(result.output, ruleset).text() == "");  // the same lines on the screen
  }
  const auto evaluations = lines_of(log, "eval_accuracy");
  REQUIRE(evaluations.size() == 1);
  CHECK(evaluations[0].at("metadata").at("samples_count") == 262144);
  const auto recorded = metric_lines(folder / "run", "eval");
  REQUIRE(recorded.size() == 1);
  CHECK(evaluations[0].at("value") == recorded[0].at("loss"));
  CHECK(lines_of(log, "run_stop").at(0).at("metadata").at("status") == "success");
  CHECK(lines_of(log, "tracked_stats").size() == 5);  // steps 1, 64, 128, 192, 256
  CHECK(lines_of(log, "train_samples").at(0).at("value").get<int64_t>() > 0);
  CHECK(lines_of(log, "eval_samples").at(0).at("value") == 64);
}

TEST_CASE("the log of a run that is short, stopped and resumed is one log", "[integration]") {
  const TemporaryFolder folder;
  const auto job = [&](const std::string& steps, const std::vector<std::string>& more) {
    std::vector<std::string> extra = {
        "--training.steps=" + steps, "--training.batch_size=8",        "--training.seed=1",
        "--eval.eval_freq=32",       "--checkpoint.enable_checkpoint", "--checkpoint.interval=3"};
    extra.insert(extra.end(), more.begin(), more.end());
    const ProcessResult result = train(tiny_flux(folder, "run", extra));
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    return slurp(folder / "run/mlperf.log");
  };
  // What a short run cannot satisfy, and nothing else.
  const auto problems = [](const std::string& log) { return judge_mllog(log, "5.1.0").problems; };
  const std::vector<std::string> expected = {"no evaluation reaches 0.586",
                                             "evaluation_frequency: 262144 samples (value 32)"};
  const std::string first = job("9", {"--eval.target_eval_loss=0.01"});
  CHECK(problems(first) == expected);
  CHECK(lines_of(first, "run_stop").at(0).at("metadata").at("status") == "aborted");
  CHECK(lines_of(first, "eval_accuracy").size() == 2);
  const std::string whole = job("14", {"--eval.target_eval_loss=0.01"});
  CHECK(problems(whole) == expected);
  CHECK(lines_of(whole, "run_start").size() == 1);
  CHECK(lines_of(whole, "run_stop").size() == 1);
  CHECK(lines_of(whole, "eval_accuracy").size() == 3);
  CHECK(lines_of(whole, "run_stop").at(0).at("metadata").at("samples_count") == 112);
}

TEST_CASE("an unset seed is drawn, shared and logged as an integer", "[integration]") {
  const TemporaryFolder folder;
  const auto seed_of = [&](const std::string& name) {
    const std::vector<std::string> arguments = tiny_flux(
        folder, name, {"--training.steps=2", "--training.batch_size=2", "--eval.dataset="});
    const ProcessResult result = train(arguments, {{"NGPU", "2"}});
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    const auto seeds = lines_of(slurp(folder / (name + "/mlperf.log")), "seed");
    REQUIRE(seeds.size() == 1);  // rank 0 alone writes
    REQUIRE(seeds[0].at("value").is_number_unsigned());
    return seeds[0].at("value").get<std::uint64_t>();
  };
  CHECK(seed_of("a") != seed_of("b"));
}
