#include "tests/integration/training.h"
#include "tests/support/catch.h"

#include <algorithm>
#include <regex>

using namespace titan::testing;

namespace {

/// The figure behind "planned peak", in GiB.
double planned_gib(const std::string& output) {
  std::smatch match;
  if (!std::regex_search(output, match, std::regex("planned peak ([0-9.]+) ([KMG])iB"))) return 0;
  const double value = std::stod(match[1]);
  return match[2] == "G" ? value : match[2] == "M" ? value / 1024 : value / 1024 / 1024;
}

struct Case {
  std::string name, ranks;
  std::vector<std::string> settings;
};

}  // namespace

TEST_CASE("plan: the planned peak is the allocator's peak of real steps", "[integration]") {
  const TemporaryFolder folder;
  const std::string full = "--activation_checkpoint.mode=full";
  const std::string ops = "--activation_checkpoint.mode=selective";
  const std::vector<Case> cases = {
      {"one", "1", {}},
      {"one-full", "1", {full}},
      {"one-op", "1", {ops, "--activation_checkpoint.selective_ac_option=op"}},
      {"one-reference", "1", {"--kernels.backend=reference"}},
      {"one-plain-update", "1", {"--optimizer.implementation=for-loop"}},
      {"one-ten-bytes",
       "1",
       {"--training.mixed_precision_param=bfloat16", "--training.mixed_precision_reduce=bfloat16",
        "--optimizer.master_weights=remainder", "--optimizer.state_dtype=bfloat16"}},
      {"one-float8", "1", {"--model.converters=float8", "--float8.emulate=true"}},
      {"one-float8-full", "1", {"--model.converters=float8", "--float8.emulate=true", full}},
      {"fsdp", "2", {}},
      {"fsdp-full", "2", {full}},
      {"fsdp-accumulated", "2", {"--training.global_batch_size=64"}},
      {"zero1", "2", {"--parallelism.shard_strategy=zero1"}},
      {"ddp",
       "2",
       {"--parallelism.data_parallel_shard_degree=1",
        "--parallelism.data_parallel_replicate_degree=-1"}},
  };
  for (const bool flux : {false, true}) {
    for (const Case& one : cases) {
      std::vector<std::string> extra = one.settings;
      extra.push_back("--metrics.log_freq=1");
      extra.push_back("--sampling.enable=false");
      extra.push_back("--checkpoint.enable_checkpoint=false");
      extra.push_back("--training.batch_size=16");
      if (one.name != "fsdp-accumulated") extra.push_back("--training.global_batch_size=0");
      if (flux) extra.push_back("--eval.eval_freq=1000000");
      const std::string run = folder / (one.name + (flux ? "-flux" : "-dit"));
      const ProcessResult result =
          train(flux ? tiny_flux(run, extra) : tiny_job(run, extra), {{"NGPU", one.ranks}});
      INFO(result.output);
      REQUIRE(result.exit_code == 0);
      double measured = 0;
      for (const nlohmann::json& line : metric_lines(run))
        measured = std::max(measured, line["memory_gib"].get<double>());
      const double planned = planned_gib(result.output);
      std::printf("  %-18s %s: planned %.2f MiB, measured %.2f MiB, %+.1f %%\n", one.name.c_str(),
                  flux ? "flux" : "dit ", planned * 1024, measured * 1024,
                  100 * (planned / measured - 1));
      CHECK(planned == Approx(measured).epsilon(0.05));
    }
  }
}

TEST_CASE("plan: training refuses what cannot fit and says what would", "[integration]") {
  const TemporaryFolder folder;
  const std::vector<std::string> job =
      tiny_flux(folder / "run", {"--training.batch_size=256", "--training.global_batch_size=0"});
  std::vector<std::string> small = job;
  small.push_back("--memory.limit_gib=0.05");
  const ProcessResult refused = train(small, {{"NGPU", "1"}});
  INFO(refused.output);
  CHECK(refused.exit_code == 2);
  CHECK(refused.mentions("memory.limit_gib"));
  CHECK(refused.mentions("--training.batch_size="));
  CHECK(refused.mentions("--activation_checkpoint.mode=full"));

  // What it names does fit.
  std::smatch match;
  REQUIRE(std::regex_search(refused.output, match, std::regex("--training.batch_size=([0-9]+)")));
  small.push_back("--training.batch_size=" + match[1].str());
  small.push_back("--training.steps=1");
  const ProcessResult fits = train(small, {{"NGPU", "1"}});
  INFO(fits.output);
  CHECK(fits.exit_code == 0);

  const std::vector<std::string> unchecked =
      tiny_flux(folder / "unchecked",
                {"--training.batch_size=256", "--training.global_batch_size=0",
                 "--memory.limit_gib=0.05", "--memory.check_fit=false", "--training.steps=1"});
  CHECK(train(unchecked, {{"NGPU", "1"}}).exit_code == 0);
}

TEST_CASE("plan: products in 8 bits take less time, emulated ones do not", "[integration]") {
  const auto step_ms = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {kTitanBinary, "plan",
                                         "--config=flux_schnell_mlperf_"
                                         "preprocessed",
                                         "--world=8"});
    const ProcessResult table = run(arguments);
    INFO(table.output);
    REQUIRE(table.exit_code == 0);
    std::smatch match;  // the fifteenth column
    REQUIRE(std::regex_search(table.output, match,
                              std::regex("FSDP \\*  none(?: +[^ ]+){12} +([0-9.]+)")));
    return std::stod(match[1]);
  };
  const double bf16 = step_ms({"--device=h200"});
  const double float8 = step_ms({"--device=h200", "--model.converters=float8"});
  // 97 % of the work is in the layers that are converted; modulations and attention stay.
  CHECK(bf16 / float8 > 1.6);
  CHECK(bf16 / float8 < 1300.0 / 760.0);
  CHECK(step_ms({"--device=h200", "--model.converters=float8", "--float8.emulate=true"}) == bf16);
  // The double blocks alone.
  const double half =
      step_ms({"--device=h200", "--model.converters=float8", "--float8.filter_fqns=single_blocks"});
  CHECK(half < bf16);
  CHECK(half > float8);
}

TEST_CASE("plan: titan plan compares layouts, lays out a large job, and refuses wrong options",
          "[integration]") {
  const auto plan = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {kTitanBinary, "plan",
                                         "--config=flux_schnell_mlperf_"
                                         "preprocessed"});
    return run(arguments);
  };
  const ProcessResult table = plan({"--world=16", "--ranks-per-node=8", "--device=h200"});
  INFO(table.output);
  CHECK(table.exit_code == 0);
  for (const char* text : {"FSDP *", "DDP", "ZeRO-1", "HSDP", "selective", "11.9G parameters"})
    CHECK(table.mentions(text));

  const ProcessResult dry = plan({"--world", "1024", "--dry-run"});
  INFO(dry.output);
  CHECK(dry.exit_code == 0);
  CHECK(dry.mentions("1024 ranks"));

  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"--device=h201"}, "did you mean h200"},
      {{"--world=6", "--ranks-per-node=4"}, "ranks-per-node=4"},
      {{"--world=x"}, "--world must be a whole number"},
      {{"--world"}, "--world needs a value"},
      {{"--wrold=8"}, "wrold"},
      {{"--world=8", "--parallelism.data_parallel_shard_degree=3"}, "shard=3"},
      {{"--mlperf-rows=nowhere.tsv"}, "cannot read nowhere.tsv"}};
  for (const auto& [arguments, message] : wrong) {
    const ProcessResult refused = plan(arguments);
    INFO(refused.output);
    CHECK(refused.exit_code == 2);
    CHECK(refused.mentions(message));
  }
}
