// Optimizer steps on Flux against the reference: loss, gradient norm, learning rate of every step,
// parameters at the end; and the reference's learning-rate tables.
#include "tests/support/catch.h"

#include <cmath>
#include <cstdio>

#include "titan/models/flux/objective.h"
#include "titan/optim/adamw.h"
#include "titan/optim/grad_norm.h"
#include "titan/optim/lr_schedule.h"
#include "titan/parallel/flat_parameters.h"
#include "titan/protocols/block_runner.h"

#include "tests/flux/flux_testing.h"

namespace titan {
namespace {

using parallel::FlatParameters;
using parallel::Fragment;
using testing::ErrorReport;
using testing::GoldenCase;

/// Copies each unit's gradients into its flat buffer.
struct FillGradients : RunnerHooks {
  explicit FillGradients(FlatParameters& flat) : parameters(flat) {}
  void gradients_ready(std::size_t unit, const std::vector<at::Tensor>& gradients) override {
    parallel::FlatUnit& flat = parameters.units()[unit];
    for (std::size_t i = 0; i < gradients.size(); ++i)
      parallel::fragment_view(flat.grad, flat.fragments[i]).copy_(gradients[i].flatten());
  }
  FlatParameters& parameters;
};

LrSchedulerSection schedule_of(const nlohmann::json& json) {
  LrSchedulerSection section;
  section.warmup_steps = json.at("warmup_steps");
  if (!json.at("decay_ratio").is_null()) section.decay_ratio = json.at("decay_ratio").get<double>();
  section.decay_type = json.at("decay_type");
  section.lr_min = json.at("lr_min");
  return section;
}

/// The value that an input's description gives for a step (1, 2, ...).
at::Tensor input_of(const nlohmann::json& inputs, const std::string& name, int64_t step) {
  const nlohmann::json& entry = inputs.at(name);
  std::string key = entry.at("key");
  char number[8];
  std::snprintf(number, sizeof number, "%02d", static_cast<int>(step));
  key.replace(key.find("NN"), 2, number);
  double amp = 0;
  if (entry.contains("amp_by_step_cyclic")) {
    const nlohmann::json& cycle = entry.at("amp_by_step_cyclic");
    amp = cycle.at(static_cast<std::size_t>(step - 1) % cycle.size());
  } else {
    amp = entry.at("amp");
  }
  return testing::fill(inputs.value("fill_prefix", "") + key,
                       entry.at("dims").get<std::vector<int64_t>>(), amp, entry.at("base"));
}

/// "... final_layer.linear.weight and final_layer.linear.bias multiplied by 0.0625": the weights a
/// run starts from.
std::map<std::string, at::Tensor> start_weights(const GoldenCase& golden, const GoldenCase& tiny) {
  std::map<std::string, at::Tensor> weights = testing::flux_weights(tiny);
  for (const nlohmann::json& condition : golden.json.at("conditions")) {
    const std::string text = condition;
    const std::string words = "multiplied by ";
    const auto at = text.find(words);
    if (at == std::string::npos) continue;
    const double factor = std::stod(text.substr(at + words.size()));
    for (auto& [name, tensor] : weights)
      if (text.find(name) != std::string::npos) tensor = tensor * factor;
  }
  return weights;
}

/// The entries that a digest keeps: all of a small tensor, else 0 .. 63 and k * floor(numel / 64).
at::Tensor digest(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.flatten();
  if (flat.numel() <= 128) return flat;
  const at::Tensor strided = torch::arange(64) * (flat.numel() / 64);
  return flat.index_select(0, at::cat({torch::arange(64), strided}));
}

/// Compares what the case keeps of the end of a run: parameters whole or in digests, norms of the
/// moments. Errors of parameters are shares of how far training moved them. Returns the groups.
std::vector<std::string> compare_end(const GoldenCase& golden, const std::string& run,
                                     FlatParameters& parameters, optim::AdamW& optimizer,
                                     const std::map<std::string, at::Tensor>& start,
                                     ErrorReport& report) {
  std::map<std::string, double> error, size;
  const auto note = [&](const std::string& group, const at::Tensor& actual,
                        const at::Tensor& expected, const at::Tensor& origin) {
    const at::Tensor a = actual.to(at::kDouble), b = expected.to(at::kDouble);
    REQUIRE(a.sizes() == b.sizes());
    error[group] += (a - b).square().sum().item<double>();
    size[group] += (b - origin.to(at::kDouble)).square().sum().item<double>();
  };
  for (std::size_t u = 0; u < parameters.units().size(); ++u) {
    const parallel::FlatUnit& unit = parameters.units()[u];
    for (const Fragment& fragment : unit.fragments) {
      const auto part = [&](const at::Tensor& buffer) {
        return parallel::fragment_view(buffer, fragment).view(fragment.shape);
      };
      const auto kept = [&](const char* what) {
        const std::string key = std::string(what) + "." + run + "." + fragment.name;
        return golden.contains(key) ? golden.at(key) : at::Tensor();
      };
      const auto norm = [](const at::Tensor& tensor) {
        return tensor.to(at::kDouble).norm().view({1});
      };
      const at::Tensor value = part(unit.master), origin = start.at(fragment.name);
      if (const at::Tensor whole = kept("final"); whole.defined())
        note("parameters", value, whole, origin);
      if (const at::Tensor sample = kept("finalsample"); sample.defined())
        note("parameters, sampled", digest(value), sample, digest(origin));
      const at::Tensor none = torch::zeros({1});
      if (const at::Tensor expected = kept("finalnorm"); expected.defined())
        note("norms of movement", norm(value - origin), expected, none);
      if (const at::Tensor expected = kept("moment1norm"); expected.defined())
        note("norms of first moments", norm(part(optimizer.moments()[u].exp_avg)), expected, none);
      if (const at::Tensor expected = kept("moment2norm"); expected.defined())
        note("norms of second moments", norm(part(optimizer.moments()[u].exp_avg_sq)), expected,
             none);
    }
  }
  std::vector<std::string> groups;
  for (const auto& [group, sum] : error) {
    report.add(group, run, std::sqrt(sum / size.at(group)));
    groups.push_back(group);
  }
  return groups;
}

void train_run(const GoldenCase& golden, const GoldenCase& tiny, const nlohmann::json& run) {
  const nlohmann::json& adam = golden.json.at("optimizer");
  const auto model = std::make_shared<models::Flux>(testing::flux_config(golden.json));
  const std::map<std::string, at::Tensor> start = start_weights(golden, tiny);
  testing::load_parameters(*model, start);
  FlatParameters parameters(split_into_units(*model));
  FillGradients hooks(parameters);
  const auto runner = make_runner(model, &hooks);
  const models::FluxObjective objective({}, 0);
  optim::AdamW optimizer(parameters.units(), {.beta1 = adam.at("betas").at(0),
                                              .beta2 = adam.at("betas").at(1),
                                              .eps = adam.at("eps"),
                                              .weight_decay = adam.at("weight_decay")});
  optim::StepState state(at::kCPU);
  const LrSchedulerSection schedule = schedule_of(run);
  const int64_t steps = golden.json.at("steps");
  const std::string name = run.at("run");
  ErrorReport report(golden.name + ", " + name);
  const nlohmann::json& inputs = golden.json.at("inputs");

  for (int64_t n = 1; n <= steps; ++n) {
    const nlohmann::json& expected = run.at("steps").at(static_cast<std::size_t>(n - 1));
    TrainingExample example = models::FluxObjective::mix(
        input_of(inputs, "latents", n), input_of(inputs, "noise", n), input_of(inputs, "t", n));
    example.condition.set("txt", input_of(inputs, "txt", n));
    example.condition.set("y", input_of(inputs, "y", n));
    const at::Tensor loss = runner->forward_backward(
        example.x_t, example.t, example.condition,
        [&](const at::Tensor& prediction) { return objective.loss(prediction, example).mean(); });
    state.begin(n, adam.at("lr").get<double>() * optim::lr_multiplier(schedule, steps, n - 1));
    const at::Tensor norm = optim::global_grad_norm(parameters.units());
    optimizer.step(state, optim::clip_coefficient(norm, adam.at("max_norm")));
    parameters.weights_changed();

    const auto relative = [](double a, double b) { return std::abs(a - b) / std::abs(b); };
    report.add("loss", name, relative(loss.item<double>(), expected.at("loss")));
    report.add("gradient norm", name, relative(norm.item<double>(), expected.at("grad_norm")));
    report.add("rate", name, relative(state.host_lr, expected.at("lr")));
  }

  REQUIRE(report.largest("loss") < 1e-4);
  REQUIRE(report.largest("gradient norm") < 1e-3);
  REQUIRE(report.largest("rate") < 1e-12);
  for (const std::string& group : compare_end(golden, name, parameters, optimizer, start, report))
    REQUIRE(report.largest(group) < 1e-3);
}

TEST_CASE("20 steps of Flux agree with the reference under every schedule", "[golden]") {
  const auto cases = testing::golden_cases("flux", "train");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const GoldenCase golden = testing::load_golden(path);
    const GoldenCase tiny = testing::load_golden(path.parent_path() / "tiny");
    REQUIRE_FALSE(golden.json.at("runs").empty());
    REQUIRE_FALSE(golden.with_prefix("final.").empty());
    for (const nlohmann::json& run : golden.json.at("runs")) {
      INFO(path << " " << run.at("run"));
      train_run(golden, tiny, run);
    }
  }
}

TEST_CASE("learning rates are the reference's", "[golden]") {
  const auto cases = testing::golden_cases("flux", "schedule");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const GoldenCase golden = testing::load_golden(path);
    ErrorReport report(golden.name);
    REQUIRE_FALSE(golden.json.at("tables").empty());
    for (const nlohmann::json& table : golden.json.at("tables")) {
      const LrSchedulerSection schedule = schedule_of(table);
      const auto expected = table.at("multiplier").get<std::vector<double>>();
      for (std::size_t k = 0; k < expected.size(); ++k) {
        report.add("multiplier", table.at("decay_type"),
                   std::abs(optim::lr_multiplier(schedule, table.at("training_steps"),
                                                 static_cast<int64_t>(k)) -
                            expected[k]));
      }
    }
    REQUIRE(report.largest("multiplier") < 1e-12);
  }
}

}  // namespace
}  // namespace titan
