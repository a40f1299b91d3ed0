#include "tests/support/catch.h"

#include "titan/train/evaluation.h"

#include <atomic>
#include <cmath>

#include <torch/types.h>

#include "titan/data/one_pass_loader.h"
#include "titan/models/objectives/rectified_flow.h"

#include "tests/support/ranks.h"

namespace titan {
namespace {

/// Latents that are a function of the index; with a timestep field on wish.
class Samples : public Dataset {
 public:
  explicit Samples(int64_t size) : size_(size) {}
  int64_t size() const override { return size_; }
  StatusOr<Sample> read(int64_t index, const DrawKey&) const override {
    if (index == broken) return data_loss("[data] broken");
    Sample sample;
    const float value = index == poisoned ? NAN : 0.1F * static_cast<float>(index);
    sample.fields.set("image", torch::sin(torch::arange(8.0) + value).view({2, 2, 2}));
    if (timestep) sample.fields.set("timestep", at::scalar_tensor(timestep(index), at::kLong));
    return sample;
  }
  std::string describe(int64_t index) const override { return str_cat("samples:", index); }
  std::string fingerprint() const override { return "samples"; }

  std::function<int64_t(int64_t)> timestep;
  int64_t poisoned = -1;
  int64_t broken = -1;

 private:
  int64_t size_;
};

/// A model whose answer depends on what it sees: x_t and t of each sample.
class FakeRunner : public BlockRunner {
 public:
  at::Tensor forward(const at::Tensor& x_t, const at::Tensor& t, const Conditioning&) override {
    ++calls;
    return x_t.cos() * (1 + t.view({-1, 1, 1, 1}));
  }
  at::Tensor forward_backward(const at::Tensor&, const at::Tensor&, const Conditioning&,
                              const LossFunction&) override {
    return {};
  }
  int calls = 0;
};

const objectives::RectifiedFlow& objective() {
  static const objectives::RectifiedFlow flow({.direction = objectives::FlowDirection::kNoiseAtOne},
                                              1);
  return flow;
}

StatusOr<EvaluationResult> evaluate(const std::shared_ptr<const Samples>& data, int64_t batch_size,
                                    std::uint64_t seed = 0) {
  parallel::Communicator alone;
  FakeRunner runner;
  return Evaluator(data, {.batch_size = batch_size, .seed = seed}).run(runner, objective(), alone);
}

TEST_CASE("evaluation is the same for any number of ranks and any batch size", "[eval]") {
  const auto data = std::make_shared<Samples>(43);  // divides by nothing
  const auto expected = evaluate(data, 43);
  REQUIRE(expected.ok());
  REQUIRE(expected->samples == 43);
  REQUIRE((expected->loss > 0.1 && expected->loss < 10));
  for (const int num_ranks : {1, 2, 3}) {
    for (const int64_t batch_size : {1, 4, 5, 16, 64}) {
      std::vector<double> losses(static_cast<std::size_t>(num_ranks), 0);
      std::vector<std::vector<double>> by_timestep(static_cast<std::size_t>(num_ranks));
      std::vector<int> calls(static_cast<std::size_t>(num_ranks), 0);
      testing::run_ranks(num_ranks, [&](parallel::Communicator& ranks) {
        FakeRunner runner;
        const auto result =
            Evaluator(data, {.batch_size = batch_size}).run(runner, objective(), ranks);
        TITAN_CHECK(result.ok(), titan::message_of(result.status()));
        const auto r = static_cast<std::size_t>(ranks.rank());
        losses[r] = result->loss;
        by_timestep[r] = result->timestep_loss;
        calls[r] = runner.calls;
      });
      INFO(num_ranks << " ranks, batch size " << batch_size);
      for (std::size_t r = 0; r < losses.size(); ++r) {
        CHECK(losses[r] == losses[0]);
        CHECK(calls[r] == calls[0]);  // collectives inside a forward keep step
        // 1e-6: elementwise float32 of another vector width.
        CHECK(std::abs(losses[r] - expected->loss) < 1e-6 * expected->loss);
        for (std::size_t k = 0; k < by_timestep[r].size(); ++k)
          CHECK(std::abs(by_timestep[r][k] - expected->timestep_loss[k]) < 1e-6);
      }
    }
  }
}

TEST_CASE("evaluation can be stopped between batches, on all ranks together", "[eval]") {
  const auto data = std::make_shared<Samples>(43);
  std::vector<int> calls(2, 0), cancelled(2, 0);
  testing::run_ranks(2, [&](parallel::Communicator& ranks) {
    FakeRunner runner;
    int asked = 0;
    const auto result = Evaluator(data, {.batch_size = 4}).run(runner, objective(), ranks, {}, [&] {
      return ++asked > 3;
    });
    const auto r = static_cast<std::size_t>(ranks.rank());
    calls[r] = runner.calls;
    cancelled[r] = absl::IsCancelled(result.status()) ? 1 : 0;
  });
  CHECK(calls == std::vector<int>(2, 3));
  CHECK(cancelled == std::vector<int>(2, 1));
}

TEST_CASE("evaluation repeats itself and depends on its seed", "[eval]") {
  const auto data = std::make_shared<Samples>(40);
  CHECK(evaluate(data, 8)->loss == evaluate(data, 8)->loss);
  CHECK(evaluate(data, 8)->loss != evaluate(data, 8, 1)->loss);
}

TEST_CASE("the loss is the mean of the timesteps' means", "[eval]") {
  const EvaluationResult result = summarize_losses({1, 3, 10, 2}, {0, 0, 5, 0});
  CHECK(result.timestep_loss[0] == 2);
  CHECK(result.timestep_loss[5] == 10);
  CHECK(std::isnan(result.timestep_loss[1]));
  CHECK(result.timestep_count[0] == 3);
  CHECK(result.loss == 6);  // not (1 + 3 + 10 + 2) / 4
  CHECK(std::isnan(summarize_losses({1, NAN}, {0, 1}).loss));
}

TEST_CASE("timesteps come from the data, or from the index", "[eval]") {
  const auto data = std::make_shared<Samples>(20);
  const auto by_index = evaluate(data, 6);
  data->timestep = [](int64_t index) { return index % 8; };
  CHECK(evaluate(data, 6)->loss == by_index->loss);
  data->timestep = [](int64_t) { return 3; };
  const auto single = evaluate(data, 6);
  CHECK(single->timestep_count[3] == 20);
  CHECK(single->loss == single->timestep_loss[3]);
  data->timestep = [](int64_t index) { return index == 13 ? 8 : 0; };
  const std::string message = titan::message_of(evaluate(data, 6).status());
  CHECK(message.find("timestep=8, sample samples:13") != std::string::npos);
}

TEST_CASE("an unreadable sample ends the evaluation and is named", "[eval]") {
  const auto data = std::make_shared<Samples>(20);
  data->broken = 17;
  const Status status = evaluate(data, 6).status();
  CHECK(status.code() == absl::StatusCode::kDataLoss);
  CHECK(titan::message_of(status).find("samples:17") != std::string::npos);
}

TEST_CASE("a sample without a finite loss makes the result no number", "[eval]") {
  const auto data = std::make_shared<Samples>(20);
  data->poisoned = 4;
  const auto result = evaluate(data, 6);
  REQUIRE(result.ok());
  CHECK(std::isnan(result->loss));
  CHECK(std::isnan(result->timestep_loss[4]));
  CHECK(std::isfinite(result->timestep_loss[3]));
}

TEST_CASE("a pass deals every sample once, in the same batches for any number of ranks", "[eval]") {
  const auto data = std::make_shared<Samples>(23);
  for (const int num_ranks : {1, 2, 3, 7}) {
    std::vector<int> seen(23, 0);
    for (int rank = 0; rank < num_ranks; ++rank) {
      OnePassLoader loader(data, {.batch_size = 4, .rank = rank, .num_ranks = num_ranks});
      REQUIRE(loader.rounds() == (6 + num_ranks - 1) / num_ranks);
      for (int64_t round = 0; round < loader.rounds(); ++round) {
        const auto pass = loader.next();
        REQUIRE(pass.ok());
        CHECK(pass->first % 4 == 0);
        CHECK(pass->batch.size() == std::min<int64_t>(4, 23 - pass->first));
        CHECK(pass->batch.sample[0].item<int64_t>() == pass->first);
        if (pass->repeated) continue;
        for (int64_t i = 0; i < pass->batch.size(); ++i)
          ++seen[static_cast<std::size_t>(pass->batch.sample[i].item<int64_t>())];
      }
    }
    CHECK(seen == std::vector<int>(23, 1));
  }
  CHECK(OnePassLoader(data, {.batch_size = 4, .num_samples = 9}).num_samples() == 9);
}

TEST_CASE("evaluations come every eval_freq samples, rounded up to whole steps", "[eval]") {
  CHECK(steps_between_evaluations(262144, 512) == 512);
  CHECK(steps_between_evaluations(262144, 2304) == 114);
  CHECK(steps_between_evaluations(1, 512) == 1);
}

}  // namespace
}  // namespace titan
