#include <filesystem>
#include <set>

#include "tests/integration/training.h"
#include "tests/support/catch.h"

using namespace titan::testing;
namespace fs = std::filesystem;

TEST_CASE("a tiny run trains, and leaves the files it promises", "[integration]") {
  const TemporaryFolder folder;
  const ProcessResult result = train(tiny_job(
      folder / "run",
      {"--training.steps=30", "--metrics.enable_tensorboard", "--checkpoint.enable_checkpoint",
       "--checkpoint.interval=10", "--checkpoint.keep_latest_k=2", "--ema.enable",
       "--sampling.enable", "--sampling.freq=20", "--sampling.num_samples=4", "--sampling.steps=2",
       "--optimizer.lr=1e-3"}));
  INFO(result.output);
  REQUIRE(result.exit_code == 0);

  const auto by_step = losses(folder / "run");
  REQUIRE(by_step.size() == 30);
  REQUIRE(by_step.rbegin()->first == 30);
  double first = 0, last = 0;
  for (int64_t step = 1; step <= 5; ++step) {
    first += by_step.at(step) / 5;
    last += by_step.at(25 + step) / 5;
  }
  REQUIRE(last < first);

  REQUIRE(fs::exists(folder / "run/config.toml"));
  REQUIRE(fs::exists(folder / "run/run.json"));
  REQUIRE(fs::exists(folder / "run/samples/step-000020.png"));
  REQUIRE(fs::exists(folder / "run/samples/step-000030.png"));
  REQUIRE(fs::exists(folder / "run/tb"));
  std::set<std::string> checkpoints;
  for (const auto& entry : fs::directory_iterator(folder / "run/checkpoint"))
    checkpoints.insert(entry.path().filename());
  REQUIRE(checkpoints == std::set<std::string>{"step-000020", "step-000030"});
  for (const char* file : {"index.json", "rank-00000.safetensors"})
    REQUIRE(fs::exists(folder / ("run/checkpoint/step-000030/" + std::string(file))));
}

TEST_CASE("a metric line has the documented fields, unknown ones null", "[integration]") {
  const TemporaryFolder folder;
  const ProcessResult result = train(tiny_job(folder / "run"));
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  const auto lines = metric_lines(folder / "run");
  REQUIRE(lines.size() == 6);
  for (const char* field :
       {"step", "samples", "loss", "loss_max", "grad_norm", "lr", "samples_per_s", "step_s",
        "data_wait_share", "tflops", "mfu", "memory_gib"}) {
    INFO(field);
    REQUIRE(lines.back().contains(field));
  }
  REQUIRE(lines.back().at("mfu").is_null());
  REQUIRE(lines.back().at("samples").get<int64_t>() == 48);
  REQUIRE(lines.back().at("memory_gib").get<double>() > 0);
  REQUIRE(lines.front().at("lr").get<double>() < lines[1].at("lr").get<double>());
}

TEST_CASE("the same command gives the same losses, another seed others", "[integration]") {
  const TemporaryFolder folder;
  REQUIRE(train(tiny_job(folder / "a")).exit_code == 0);
  REQUIRE(train(tiny_job(folder / "b")).exit_code == 0);
  REQUIRE(train(tiny_job(folder / "c", {"--training.seed=8"})).exit_code == 0);
  REQUIRE(losses(folder / "a") == losses(folder / "b"));
  REQUIRE(losses(folder / "a") != losses(folder / "c"));
}

TEST_CASE("accumulation does not change the numbers beyond summation order", "[integration]") {
  const TemporaryFolder folder;
  REQUIRE(
      train(tiny_job(folder / "one", {"--training.batch_size=8", "--training.global_batch_size=8"}))
          .exit_code == 0);
  REQUIRE(train(tiny_job(folder / "four",
                         {"--training.batch_size=2", "--training.global_batch_size=8"}))
              .exit_code == 0);
  const auto one = losses(folder / "one"), four = losses(folder / "four");
  REQUIRE(one.size() == four.size());
  // 2e-5: float32 sums in another order, carried through six AdamW steps.
  for (const auto& [step, loss] : one) REQUIRE(four.at(step) == Approx(loss).epsilon(2e-5));
}

TEST_CASE("the plain-ATen operators give the fused ones' losses", "[integration]") {
  const TemporaryFolder folder;
  REQUIRE(train(tiny_job(folder / "fused")).exit_code == 0);
  REQUIRE(train(tiny_job(folder / "reference", {"--kernels.backend=reference"})).exit_code == 0);
  REQUIRE(train(tiny_job(folder / "plain", {"--training.compile=false"})).exit_code == 0);
  REQUIRE(train(tiny_job(folder / "math", {"--attention.backend=math"})).exit_code == 0);
  const auto fused = losses(folder / "fused"), reference = losses(folder / "reference");
  const auto math = losses(folder / "math");
  for (const auto& [step, loss] : fused) {
    REQUIRE(reference.at(step) == Approx(loss).epsilon(2e-5));
    REQUIRE(math.at(step) == Approx(loss).epsilon(2e-5));
  }
  REQUIRE(losses(folder / "plain") == reference);  // two names of one switch
  REQUIRE(fused != reference);
}

TEST_CASE("every objective, schedule and conditioning mode trains", "[integration]") {
  const std::vector<std::vector<std::string>> variants = {
      {"--objective.timestep_sampler=logit_normal", "--lr_scheduler.decay_type=cosine"},
      {"--objective.timestep_sampler=mode", "--lr_scheduler.name=polynomial"},
      {"--objective.shift=3", "--lr_scheduler.name=cosine_restarts", "--lr_scheduler.num_cycles=2"},
      {"--objective.name=ddpm", "--objective.prediction=v", "--objective.min_snr_gamma=5",
       "--sampling.enable", "--sampling.freq=6", "--sampling.steps=2", "--sampling.num_samples=2"},
      {"--objective.name=ddpm"},
      {"--model.args.condition_mode=context", "--training.mixed_precision_param=bfloat16"},
      {"--dataset.image_size=8,16", "--model.args.norm_type=layernorm"},
  };
  for (const auto& variant : variants) {
    const TemporaryFolder folder;
    const ProcessResult result = train(tiny_job(folder / "run", variant));
    INFO(variant.front() << "\n" << result.output);
    REQUIRE(result.exit_code == 0);
    REQUIRE(losses(folder / "run").size() == 6);
  }
}

TEST_CASE("help goes to stdout with exit 0 and names every section", "[integration]") {
  const ProcessResult result = train({"--help"});
  REQUIRE(result.exit_code == 0);
  for (const char* text : {"--training.steps", "--model.flavor", "--checkpoint.keep_latest_k"})
    REQUIRE(result.mentions(text));
}

TEST_CASE("the programs say their version", "[integration]") {
  const ProcessResult trainer = train({"--version"}), tools = run({kTitanBinary, "--version"});
  REQUIRE(trainer.exit_code == 0);
  REQUIRE(trainer.output.rfind("titan ", 0) == 0);
  REQUIRE(tools.exit_code == 0);
  REQUIRE(tools.output == trainer.output);
}
