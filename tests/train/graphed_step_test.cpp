#include "tests/support/catch.h"

#include "titan/train/graphed_step.h"

#include <array>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "titan/base/check.h"
#include "titan/config/loader.h"
#include "titan/data/dataloader.h"
#include "titan/models/builtin.h"
#include "titan/models/layers/float8_layer.h"
#include "titan/models/layers/linear.h"
#include "titan/parallel/communicator.h"
#include "titan/parallel/cuda_library.h"
#include "titan/plan/data_view.h"
#include "titan/train/graphed_losses.h"
#include "titan/train/kernel_settings.h"
#include "titan/train/model_setup.h"
#include "titan/train/train_step.h"

#include "tests/support/ranks.h"
#include "tests/support/recorded_graph.h"

namespace titan {
namespace {

constexpr int64_t kSteps = 9;
/// Of kSteps: all but the warm-up, of which the first is recorded, too.
constexpr int64_t kReplays = kSteps - GraphedStep::kWarmUpSteps;

JobConfig config_of(std::vector<std::string> arguments) {
  const auto loaded = load_config(arguments);
  INFO(titan::message_of(loaded.status()));
  REQUIRE(loaded.ok());
  return loaded->config;
}

JobConfig dit(std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"--config=debug", "--model.args.dim=32",
                                        "--training.seed=7", "--ema.decay=0.7",
                                        "--training.max_norm=0.5"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return config_of(arguments);
}

JobConfig flux(std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"--config=flux_debug",
                                        "--model.args.hidden_size=32",
                                        "--model.args.axes_dim=4,6,6",
                                        "--training.batch_size=4",
                                        "--training.global_batch_size=8",
                                        "--training.max_norm=0.5",
                                        "--ema.enable=true",
                                        "--ema.decay=0.7",
                                        "--ema.start_step=3",
                                        "--ema.interval=2",
                                        "--training.class_dropout_prob=0.3"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return config_of(arguments);
}

/// What is done between steps and to batches.
struct Disturbance {
  bool evaluate = false;       ///< after some steps, some of them with the averaged weights
  int64_t poisoned_step = -1;  ///< a sample of which is NaN
  int64_t shorter_step = -1;   ///< whose batches lack a sample
};

struct Outcome {
  std::vector<double> loss, norm, evaluation;
  std::vector<bool> replayed;
  std::map<std::string, at::Tensor> state;  ///< weights, averages, moments
  std::vector<std::string> left_out;        ///< of the guard
  /// 8-bit copies of weights that layers held after an evaluation, and those of them that were
  /// still there when the next step was over.
  int64_t copies = 0, copies_left = 0;
};

using WeakTensor = c10::weak_intrusive_ptr<c10::TensorImpl>;

std::vector<WeakTensor> float8_copies(const Model& model) {
  std::vector<WeakTensor> copies;
  for (const auto& module : model.modules(/*include_self=*/false)) {
    const auto* const layer = dynamic_cast<models::Linear*>(module.get());
    if (layer == nullptr || !layer->float8 || !layer->float8->keep_weights) continue;
    const ops::Float8Copies& held =
        layer->float8->weights.of(layer->weight, layer->float8->options.rowwise, {.by_row = true});
    copies.emplace_back(held.by_row.getIntrusivePtr());
  }
  return copies;
}

void take(Outcome& outcome, TrainStep& step) {
  for (const parallel::FlatUnit& unit : step.parameters().units()) {
    outcome.state["weight." + unit.name] = unit.master.clone();
    if (unit.remainder.defined()) outcome.state["remainder." + unit.name] = unit.remainder.clone();
  }
  for (const optim::MomentState& moment : step.optimizer().moments()) {
    outcome.state["exp_avg." + moment.unit] = moment.exp_avg.clone();
    outcome.state["exp_avg_sq." + moment.unit] = moment.exp_avg_sq.clone();
  }
  if (step.ema() == nullptr) return;
  for (std::size_t u = 0; u < step.ema()->shadows().size(); ++u)
    outcome.state["ema." + std::to_string(u)] = step.ema()->shadows()[u].clone();
}

void poison(Batch& batch) {
  for (NamedTensors::Entry& field : batch.fields) {
    if (field.first != "image" && field.first != "mean") continue;
    field.second = field.second.clone();
    field.second[1].fill_(NAN);
  }
}

Batch shorter(const Batch& batch) {
  Batch part = batch;
  for (NamedTensors::Entry& field : part.fields)
    field.second = field.second.narrow(0, 0, batch.size() - 1);
  part.sample = batch.sample.narrow(0, 0, batch.size() - 1);
  part.epoch = batch.epoch.narrow(0, 0, batch.size() - 1);
  return part;
}

Outcome train(const JobConfig& config, const Disturbance& disturb = {},
              at::Device device = at::kCPU) {
  static const bool registered = models::register_builtin_models().ok();
  REQUIRE(registered);
  const ModelSpec spec = *complete_spec(config);
  const std::shared_ptr<const Dataset> dataset = *spec.dataset(config);
  const DataView view = *view_of(*dataset, config, spec);
  const BatchPlan batches =
      *plan_batches(config.training.batch_size, config.training.global_batch_size, 1);
  REQUIRE(choose_kernels(config, device.type()).ok());
  at::set_num_threads(1);  // tiny operations: threads would only wait for each other
  const parallel::DeviceMesh alone({}, 0);
  const parallel::OpenGroup open;  // a single rank connects to nobody
  const auto step = TrainStep::create({.config = config,
                                       .spec = spec,
                                       .shape = view.shape,
                                       .mesh = alone,
                                       .open = open,
                                       .device = device,
                                       .batches = batches,
                                       .seed = 7});
  INFO(titan::message_of(step.status()));
  REQUIRE(step.ok());
  TrainStep& training = **step;
  const auto loader = *DataLoader::create(
      dataset,
      {.micro_batch = batches.micro_batch, .global_batch = batches.global_batch, .seed = 7});
  parallel::Communicator ranks;
  TrainingSection policy;
  policy.on_nonfinite = "skip";
  FiniteGuard guard(policy, ranks, [](int64_t id) { return std::to_string(id); });

  Outcome outcome;
  Batch seen = *loader->next();
  bring(seen, device, /*encoder=*/nullptr);
  const auto evaluate = [&](bool averaged) {
    const optim::Ema::Scope scope(averaged ? training.ema() : nullptr);
    training.model().eval();
    const TrainingExample example = training.objective().prepare_evaluation(
        seen, torch::arange(seen.size()).remainder(8).to(device), 1);
    outcome.evaluation.push_back(
        training.objective()
            .loss(training.runner().forward(example.x_t, example.t, example.condition), example)
            .mean()
            .item<double>());
    training.model().train();
  };
  training.model().train();
  std::vector<WeakTensor> copies;
  for (int64_t number = 1; number <= kSteps; ++number) {
    const auto next = [&]() -> StatusOr<Batch> {
      Batch batch = *loader->next();
      if (number == disturb.poisoned_step) poison(batch);
      return number == disturb.shorter_step ? shorter(batch) : batch;
    };
    const auto result = training.run(number, 0.02 / static_cast<double>(number), next, &guard);
    REQUIRE(result.ok());
    outcome.loss.push_back(result->loss.item<double>());
    outcome.norm.push_back(result->grad_norm.item<double>());
    outcome.replayed.push_back(training.replayed());
    for (const WeakTensor& copy : copies) outcome.copies_left += copy.expired() ? 0 : 1;
    copies.clear();
    const auto skipped = guard.check();
    REQUIRE(skipped.ok());
    for (const NonfiniteStep& one : *skipped)
      outcome.left_out.push_back(str_cat(one.step, ": ", one.cause));
    if (!disturb.evaluate) continue;
    // Right before the recording, right behind it, and between replays; twice the same weights.
    if (number == 3 || number == 4 || number == 6) evaluate(/*averaged=*/false);
    if (number == 3 || number == 5 || number == 8) evaluate(/*averaged=*/true);
    if (number == 6) evaluate(/*averaged=*/false);
    copies = float8_copies(training.model());
    outcome.copies += static_cast<int64_t>(copies.size());
  }
  take(outcome, training);
  return outcome;
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

/// To the bit: a replay runs the very operations.
void check_same(const Outcome& recorded, const Outcome& launched) {
  REQUIRE(recorded.loss.size() == launched.loss.size());
  for (std::size_t i = 0; i < launched.loss.size(); ++i) {
    INFO("step " << i + 1);
    CHECK(same(recorded.loss[i], launched.loss[i]));
    CHECK(same(recorded.norm[i], launched.norm[i]));
  }
  CHECK(recorded.evaluation == launched.evaluation);
  CHECK(recorded.left_out == launched.left_out);
  REQUIRE(recorded.state.size() == launched.state.size());
  for (const auto& [name, values] : launched.state) {
    INFO(name);
    CHECK(torch::equal(recorded.state.at(name), values));
  }
}

/// Trains with replays and without; gives what the replays made.
Outcome check_replays(const JobConfig& config, const Disturbance& disturb = {},
                      int64_t replays = kReplays) {
  const Outcome launched = train(config, disturb);
  for (const bool replayed : launched.replayed) REQUIRE_FALSE(replayed);
  const testing::RecordingServices device;
  const Outcome recorded = train(config, disturb);
  CHECK(device.replays() == replays);
  check_same(recorded, launched);
  return recorded;
}

TEST_CASE("the recording double freezes the host's numbers and leaves no trace", "[graph]") {
  const auto graph = testing::make_recorded_graph();
  const at::Tensor total = torch::zeros({3}), share = torch::ones({});
  double host = 1;
  at::Tensor made;
  graph->capture([&] {
    total.add_(host);
    total.narrow(0, 0, 1).add_(share);
    made = total * 2;
  });
  CHECK(torch::equal(total, torch::zeros({3})));
  host = 100;
  share.fill_(5);
  graph->replay();
  CHECK(torch::equal(total, torch::tensor({6.0F, 1.0F, 1.0F})));
  CHECK(torch::equal(made, torch::tensor({12.0F, 2.0F, 2.0F})));
  graph->replay();
  CHECK(torch::equal(total, torch::tensor({12.0F, 2.0F, 2.0F})));
  CHECK_THROWS(testing::make_recorded_graph()->capture([&] { (void)total[0].item<float>(); }));
}

TEST_CASE("DiT's replayed steps are the launched ones", "[graph]") {
  const Outcome run = check_replays(dit(), {.evaluate = true});
  CHECK(run.replayed == std::vector<bool>{false, false, false, true, true, true, true, true, true});
  CHECK(run.loss.back() != run.loss[3]);  // new samples, new noise
}

TEST_CASE("Flux's replayed steps are the launched ones", "[graph]") {
  SECTION("two micro-batches in float32") { check_replays(flux(), {.evaluate = true}); }
  SECTION("bfloat16 over float32 weights") {
    check_replays(flux({"--training.mixed_precision_param=bfloat16"}), {.evaluate = true});
  }
  SECTION("bfloat16 weights with their remainder, bfloat16 moments, one micro-batch") {
    check_replays(
        flux({"--training.mixed_precision_param=bfloat16",
              "--training.mixed_precision_reduce=bfloat16", "--training.global_batch_size=4",
              "--optimizer.state_dtype=bfloat16", "--optimizer.master_weights=remainder"}),
        {.evaluate = true});
  }
  SECTION("weights rounded at random, by step") {
    check_replays(flux({"--training.mixed_precision_param=bfloat16",
                        "--optimizer.master_weights=stochastic"}),
                  {.evaluate = true});
  }
  SECTION("blocks computed again") {
    check_replays(flux({"--activation_checkpoint.mode=full"}), {.evaluate = true});
  }
  SECTION("8 bits, weights rounded once a step") {
    const Outcome run = check_replays(flux({"--model.converters=float8", "--float8.emulate=true"}),
                                      {.evaluate = true});
    CHECK(run.copies > 0);
    CHECK(run.copies_left == 0);
  }
  SECTION("plain operations of LibTorch") {
    check_replays(flux({"--kernels.backend=reference"}), {.evaluate = true});
  }
}

TEST_CASE("a replayed step that is not finite is left out and named", "[graph]") {
  const Outcome run = check_replays(flux(), {.poisoned_step = 6});
  REQUIRE(run.left_out.size() == 1);
  CHECK(run.left_out[0].find("6: the loss is not a finite number for sample") == 0);
  CHECK(std::isnan(run.loss[5]));
  CHECK(std::isfinite(run.loss[6]));
}

TEST_CASE("a batch of another shape is launched, and replays go on", "[graph]") {
  const Outcome run = check_replays(flux(), {.shorter_step = 6}, kReplays - 1);
  CHECK_FALSE(run.replayed[5]);
  CHECK(run.replayed[6]);
}

TEST_CASE("a step that cannot be recorded is launched as before", "[graph]") {
  const Outcome launched = train(flux(), {.evaluate = true});
  const testing::RecordingServices device("an operation not permitted when stream is capturing");
  const Outcome run = train(flux(), {.evaluate = true});
  CHECK(device.replays() == 0);
  check_same(run, launched);
}

TEST_CASE("a GPU's replayed steps are the launched ones", "[cuda]") {
  if (!parallel::load_cuda_library().loaded || !at::hasCUDA())
    TITAN_SKIP("no CUDA device, or libtitan_cuda.so is not loaded");
  const at::Device gpu = *parallel::choose_device("cuda", 0);
  const auto bf16 = [](const char* graphs) {
    return flux(
        {"--training.mixed_precision_param=bfloat16", str_cat("--training.cuda_graphs=", graphs)});
  };
  const Disturbance disturb{.evaluate = true, .poisoned_step = 7};
  const Outcome launched = train(bf16("off"), disturb, gpu);
  const Outcome replayed = train(bf16("auto"), disturb, gpu);
  CHECK(replayed.replayed ==
        std::vector<bool>{false, false, false, true, true, true, true, true, true});
  CHECK(replayed.left_out == launched.left_out);
  // 2 %: flash attention's and cuDNN's backward add up in any order, in bfloat16, over nine steps.
  for (std::size_t i = 0; i < launched.loss.size(); ++i) {
    INFO("step " << i + 1);
    if (i == 6) continue;  // not a number
    CHECK(std::abs(replayed.loss[i] - launched.loss[i]) < 0.02 * launched.loss[i]);
    CHECK(std::abs(replayed.norm[i] - launched.norm[i]) < 0.1 * launched.norm[i]);
  }
  for (std::size_t i = 0; i < launched.evaluation.size(); ++i)
    CHECK(std::abs(replayed.evaluation[i] - launched.evaluation[i]) <
          0.02 * launched.evaluation[i]);
}

TEST_CASE("what forbids graphs is named", "[graph]") {
  CHECK(why_not_recorded(flux()).empty());
  CHECK(why_not_recorded(flux({"--training.compile=false"})) == "training.compile=false");
  CHECK(why_not_recorded(flux({"--training.cuda_graphs=off"})) == "training.cuda_graphs=off");
  JobConfig offload = flux(), looped = flux(), snapshots = flux();
  offload.training.enable_cpu_offload = true;
  looped.optimizer.implementation = "for-loop";
  snapshots.profiling.enable_memory_snapshot = true;
  CHECK(why_not_recorded(offload).find("training.enable_cpu_offload updates") == 0);
  CHECK(why_not_recorded(looped).find("optimizer.implementation=for-loop waits") == 0);
  CHECK(why_not_recorded(snapshots).find("profiling.enable_memory_snapshot: ") == 0);
  // Then nothing is replayed even where the device could.
  const testing::RecordingServices device;
  train(flux({"--training.cuda_graphs=off"}));
  CHECK(device.replays() == 0);
}

TEST_CASE("a replayed evaluation is the launched one, and the next sees other weights", "[graph]") {
  const at::Tensor weight = torch::ones({});
  int64_t launches = 0;
  const auto evaluation = [&](std::unique_ptr<parallel::DeviceGraph> graph) {
    std::vector<double> losses;
    GraphedLosses losses_of(
        [&](const Batch& batch, const at::Tensor& timestep) {
          ++launches;
          return batch.fields.get("x") * weight + timestep.to(torch::kFloat);
        },
        std::move(graph), /*ranks=*/nullptr);
    for (int64_t i = 0; i < 7; ++i) {
      const int64_t size = i == 6 ? 2 : 3;  // the last is short
      Batch batch;
      batch.fields.set("x", torch::full({size}, static_cast<double>(i)));
      batch.sample = batch.epoch = torch::zeros({size}, torch::kLong);
      losses.push_back(
          losses_of.run(batch, torch::full({size}, 10 * i, torch::kLong)).sum().item<double>());
    }
    return losses;
  };
  for (const double value : {1.0, 5.0}) {
    weight.fill_(value);
    const std::vector<double> launched = evaluation(nullptr);
    CHECK(launched[5] == 3 * (5 * value + 50));
    const testing::RecordingServices device;
    launches = 0;
    CHECK(evaluation(testing::make_recorded_graph()) == launched);
    CHECK(device.replays() == 4);
    CHECK(launches ==
          GraphedLosses::kWarmUpBatches + 1 + 1);  // warm-up, the recording, the short one
    const testing::RecordingServices broken("not permitted");
    CHECK(evaluation(testing::make_recorded_graph()) == launched);
    CHECK(broken.replays() == 0);
  }
}

/// Writes down what is done with it; a replay does nothing. `failure`, if any, ends its recording.
class NotedGraph : public parallel::DeviceGraph {
 public:
  explicit NotedGraph(std::string& notes, std::string failure = "")
      : notes_(notes), failure_(std::move(failure)) {}
  void capture(const std::function<void()>& work) override {
    notes_ += "capture ";
    work();
    if (!failure_.empty()) throw Error(failure_);
  }
  void replay() override { notes_ += "replay "; }

 private:
  std::string& notes_;
  std::string failure_;
};

StatusOr<Batch> batch_of_ones() {
  Batch batch;
  batch.fields.set("x", torch::ones({2}));
  batch.sample = batch.epoch = torch::zeros({2}, torch::kLong);
  return batch;
}

/// Loss 4 of batch_of_ones().
StatusOr<StepOutput> doubled(const BatchSource& next) {
  TITAN_ASSIGN_OR_RETURN(const Batch batch, next());
  const at::Tensor losses = batch.fields.get("x") * 2;
  return StepOutput{losses.sum(), losses.sum(), torch::zeros({}), {losses}};
}

std::vector<ModelUnit> one_weight() {
  return {{.name = "unit", .parameter_names = {"weight"}, .parameters = {torch::zeros({4})}}};
}

TEST_CASE("what launched work keeps is given back before a recording and before replays",
          "[graph]") {
  parallel::ParallelEngine engine(one_weight(), {});
  std::string notes;
  GraphedStep steps(engine, doubled, std::make_unique<NotedGraph>(notes),
                    {.forget = [&] { notes += "forget "; }});
  for (int i = 0; i < 5; ++i) REQUIRE(steps.run(batch_of_ones).ok());
  CHECK(notes == "forget capture forget replay forget replay ");
}

/// What two ranks, as threads, have seen.
struct OnRanks {
  std::array<std::string, 2> notes, failure, error;
  std::array<double, 2> loss = {}, broken = {}, offered = {};
};

std::size_t number(const parallel::Communicator& ranks) {
  return static_cast<std::size_t>(ranks.rank());
}

TEST_CASE("ranks record a step together or not at all", "[graph]") {
  const JobConfig config = flux();
  const testing::RecordingServices device;
  // Of rank 1.
  const auto steps = [&](bool has_graph, const std::string& failure) {
    OnRanks seen;
    testing::run_ranks(2, [&](parallel::Communicator& ranks) {
      const std::size_t rank = number(ranks);
      parallel::ParallelEngine engine(one_weight(), {});
      std::unique_ptr<parallel::DeviceGraph> graph;
      if (rank == 0 || has_graph)
        graph = std::make_unique<NotedGraph>(seen.notes[rank], rank == 1 ? failure : "");
      GraphedStep step(engine, doubled, std::move(graph), {.ranks = &ranks});
      for (int i = 0; i < 5; ++i) seen.loss[rank] += step.run(batch_of_ones)->loss.item<double>();
      seen.offered[rank] = make_step_graph(config, at::kCPU) ? 1 : 0;  // of an evaluation
      ranks.barrier();
    });
    CHECK(seen.loss == std::array{20.0, 20.0});
    return seen;
  };
  const OnRanks recorded = steps(true, "");
  CHECK(recorded.notes[0] == "capture replay replay ");
  CHECK(recorded.notes[1] == recorded.notes[0]);
  CHECK(recorded.offered == std::array{1.0, 1.0});
  const OnRanks failed = steps(true, "not permitted");
  CHECK(failed.notes[0] == "capture ");
  CHECK(failed.notes[1] == "capture ");
  CHECK(failed.offered == std::array{0.0, 0.0});
  CHECK(make_step_graph(config, at::kCPU) != nullptr);  // another job's
  const OnRanks without = steps(false, "");
  CHECK(without.notes[0].empty());
  CHECK(without.notes[1].empty());
}

TEST_CASE("all ranks learn which of them could not record, and why", "[graph]") {
  const auto recording = [](const std::string& at_the_end, const std::string& within) {
    OnRanks seen;
    testing::run_ranks(2, [&](parallel::Communicator& ranks) {
      const std::size_t rank = number(ranks);
      NotedGraph graph(seen.notes[rank], rank == 1 ? at_the_end : "");
      const Recording result = record_on_all(
          graph,
          [&] {
            if (rank == 1 && !within.empty()) throw Error(within);
          },
          &ranks);
      seen.failure[rank] = result.failure;
      seen.broken[rank] = result.work_broken ? 1 : 0;
    });
    CHECK(seen.failure[0] == seen.failure[1]);
    CHECK(seen.broken[0] == seen.broken[1]);
    return std::pair(seen.failure[0], seen.broken[0]);
  };
  CHECK(recording("", "") == std::pair(std::string(), 0.0));
  CHECK(recording("not joined\nframes", "") == std::pair(std::string("rank 1: not joined"), 0.0));
  CHECK(recording("", "not permitted") == std::pair(std::string("rank 1: not permitted"), 1.0));
}

TEST_CASE("ranks record an evaluation together or not at all", "[graph]") {
  const auto evaluation = [](const std::string& at_the_end, bool within) {
    OnRanks seen;
    testing::run_ranks(2, [&](parallel::Communicator& ranks) {
      const std::size_t rank = number(ranks);
      int64_t calls = 0;
      GraphedLosses losses_of(
          [&](const Batch& batch, const at::Tensor&) {
            if (++calls > GraphedLosses::kWarmUpBatches && within && rank == 1)
              throw Error("not permitted");
            return batch.fields.get("x");
          },
          std::make_unique<NotedGraph>(seen.notes[rank], rank == 1 ? at_the_end : ""), &ranks);
      try {
        for (int i = 0; i < 4; ++i)
          seen.loss[rank] +=
              losses_of.run(*batch_of_ones(), torch::zeros({2}, torch::kLong)).sum().item<double>();
      } catch (const Error& error) {
        seen.error[rank] = error.what();
      }
    });
    return seen;
  };
  CHECK(evaluation("", false).notes[1] == "capture replay replay ");
  const OnRanks failed = evaluation("not joined", false);
  CHECK(failed.notes == std::array<std::string, 2>{"capture ", "capture "});
  CHECK(failed.loss == std::array{8.0, 8.0});
  const OnRanks broken = evaluation("", true);
  for (const std::string& error : broken.error)
    CHECK(error.find("[graph] evaluation cannot be recorded (rank 1: not permitted)") == 0);
}

TEST_CASE("a step that draws from LibTorch's generators is not recorded", "[graph]") {
  parallel::ParallelEngine engine(one_weight(), {});
  bool draws = false;
  const StepWork work = [&](const BatchSource& next) -> StatusOr<StepOutput> {
    if (draws) (void)torch::rand({2});
    return doubled(next);
  };
  for (const bool drawing : {true, false}) {
    draws = drawing;
    const testing::RecordingServices device;
    GraphedStep steps(engine, work, testing::make_recorded_graph(), {});
    for (int i = 0; i < 6; ++i) REQUIRE(steps.run(batch_of_ones)->loss.item<float>() == 4.0F);
    CHECK(device.replays() == (drawing ? 0 : 3));
  }
}

}  // namespace
}  // namespace titan
