// A short training against PyTorch: objective, backward unit by unit, clipping, AdamW, schedules,
// averages, as the trainer puts them together.
#include "tests/support/catch.h"

#include <regex>

#include "titan/models/objectives/rectified_flow.h"
#include "titan/optim/adamw.h"
#include "titan/optim/ema.h"
#include "titan/optim/grad_norm.h"
#include "titan/optim/lr_schedule.h"
#include "titan/protocols/block_runner.h"

#include "tests/dit/dit_testing.h"

namespace titan {
namespace {

using parallel::FlatParameters;
using parallel::FlatUnit;
using parallel::Fragment;
using testing::ErrorReport;
using testing::GoldenCase;
using Weights = std::map<std::string, at::Tensor>;

/// Puts gradients into the flat buffers.
class FillGradients : public RunnerHooks {
 public:
  explicit FillGradients(FlatParameters& parameters) : parameters_(parameters) {}
  void gradients_ready(std::size_t unit, const std::vector<at::Tensor>& gradients) override {
    const FlatUnit& flat = parameters_.units()[unit];
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      REQUIRE(gradients[i].defined());
      parallel::fragment_view(flat.grad, flat.fragments[i]).copy_(gradients[i].reshape({-1}));
    }
  }

 private:
  FlatParameters& parameters_;
};

/// Copies of the parameters by name, from `buffer(unit index)`.
template <class Buffer>
Weights collect(const FlatParameters& parameters, const Buffer& buffer) {
  Weights result;
  for (std::size_t u = 0; u < parameters.units().size(); ++u)
    for (const Fragment& fragment : parameters.units()[u].fragments)
      result[fragment.name] =
          parallel::fragment_view(buffer(u), fragment).view(fragment.shape).clone();
  return result;
}

LrSchedulerSection schedule_of(const nlohmann::json& conditions, const std::string& name) {
  LrSchedulerSection section;
  section.name = name == "ditan" ? "linear" : "wsd";
  section.warmup_steps = conditions.at("warmup");
  if (name == "ditan") return section;
  section.decay_type = name;
  section.decay_ratio = conditions.at("schedules").at("decay_ratio").get<double>();
  section.lr_min = conditions.at("schedules").at("lr_min").at(name);
  return section;
}

/// "ema = 0.9*ema + 0.1*p": the case states its decay in a formula.
double ema_decay(const std::string& formula) {
  std::smatch match;
  REQUIRE(std::regex_search(formula, match, std::regex(R"(([0-9.]+)\*ema)")));
  return std::stod(match[1]);
}

/// Norm of the difference as a share of how far training moved the weights.
double share_of_movement(const Weights& actual, const Weights& expected, const Weights& start,
                         const Weights& end) {
  double difference = 0, movement = 0;
  for (const auto& [name, tensor] : expected) {
    difference += (actual.at(name) - tensor).to(at::kDouble).square().sum().item<double>();
    movement += (end.at(name) - start.at(name)).to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(difference / movement);
}

void compare(ErrorReport& report, const std::string& group, const Weights& actual,
             const Weights& expected) {
  REQUIRE(actual.size() == expected.size());
  for (const auto& [name, tensor] : expected) report.add(group, name, actual.at(name), tensor);
}

void run_schedule(const GoldenCase& golden, const std::string& name, bool fused) {
  const nlohmann::json& conditions = golden.json.at("conditions");
  const nlohmann::json& adam = conditions.at("optimizer");
  const models::DitConfig config = testing::dit_config(golden.json.at("config"));
  const auto model = std::make_shared<models::Dit>(config);
  const Weights start = golden.with_prefix("param.");
  testing::load_parameters(*model, start);
  FlatParameters parameters(split_into_units(*model));
  FillGradients hooks(parameters);
  const auto runner = make_runner(model, &hooks);
  const objectives::RectifiedFlow objective({}, 0);
  optim::AdamW optimizer(parameters.units(), {.beta1 = adam.at("betas").at(0),
                                              .beta2 = adam.at("betas").at(1),
                                              .eps = adam.at("eps"),
                                              .weight_decay = adam.at("weight_decay"),
                                              .fused = fused});
  optim::Ema ema(parameters, {.decay = ema_decay(conditions.at("ema"))});
  optim::StepState state(at::kCPU);
  const LrSchedulerSection schedule = schedule_of(conditions, name);
  const int64_t steps = conditions.at("steps");
  const std::string prefix = "output." + name + ".";
  ErrorReport report(golden.name + ", " + name + (fused ? ", fused" : ", plain operations"));
  const auto master = [&](std::size_t u) { return parameters.units()[u].master; };

  for (int64_t n = 1; n <= steps; ++n) {
    const auto input = [&](const char* what) {
      return golden.at(std::string("input.") + what)[n - 1];
    };
    TrainingExample example = objective.mix(input("x1"), input("noise"), 1 - input("t"));
    const at::Tensor ids = input("class_idx");
    example.condition.set("label",
                          ids.masked_fill(input("force_drop_ids") == 1, config.num_classes));
    const at::Tensor loss = runner->forward_backward(
        example.x_t, example.t, example.condition,
        [&](const at::Tensor& prediction) { return objective.loss(prediction, example).mean(); });
    state.begin(n, adam.at("lr").get<double>() * optim::lr_multiplier(schedule, steps, n - 1));
    const at::Tensor norm = optim::global_grad_norm(parameters.units());
    optimizer.step(state, optim::clip_coefficient(norm, conditions.at("clip").at("max_norm")));
    parameters.weights_changed();
    ema.update(n);

    report.add("loss", name, loss, golden.at(prefix + "loss")[n - 1]);
    report.add("gradient norm", name, norm, golden.at(prefix + "grad_norm")[n - 1]);
    const double lr = golden.at(prefix + "lr")[n - 1].item<double>();
    report.add("rate", name, std::abs(state.host_lr - lr) / lr);
    const Weights first = golden.with_prefix(prefix + "first.");  // some schedules share one
    if (n == 1 && !first.empty()) compare(report, "first", collect(parameters, master), first);
  }
  const Weights end = collect(parameters, master),
                expected_end = golden.with_prefix(prefix + "final.");
  const Weights average = collect(parameters, [&](std::size_t u) { return ema.shadows()[u]; });
  const Weights expected_average = golden.with_prefix(prefix + "ema.");
  compare(report, "final", end, expected_end);
  compare(report, "ema", average, expected_average);
  report.add("share of movement", "final",
             share_of_movement(end, expected_end, start, expected_end));
  report.add("share of movement", "ema",
             share_of_movement(average, expected_average, start, expected_end));

  REQUIRE(report.largest("loss") < 5e-6);
  REQUIRE(report.largest("gradient norm") < 1e-5);
  REQUIRE(report.largest("rate") < 1e-12);
  for (const char* group : {"first", "final", "ema"}) REQUIRE(report.largest(group) < 1e-4);
  REQUIRE(report.largest("share of movement") < 5e-5);
}

TEST_CASE("training agrees with PyTorch under every schedule", "[golden]") {
  const auto cases = testing::golden_cases("dit", "train");
  if (cases.empty()) TITAN_SKIP(testing::kNoGolden);
  for (const auto& path : cases) {
    const GoldenCase golden = testing::load_golden(path);
    int count = 0;
    for (const auto& [tensor, rates] : golden.with_prefix("output.")) {
      if (!tensor.ends_with(".lr")) continue;
      const std::string name = tensor.substr(0, tensor.size() - 3);
      for (const bool fused : {true, false}) {
        INFO(path << " " << name << " fused=" << fused);
        run_schedule(golden, name, fused);
      }
      ++count;
    }
    REQUIRE(count > 0);
  }
}

}  // namespace
}  // namespace titan
