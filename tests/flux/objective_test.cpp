#include "tests/support/catch.h"

#include "titan/models/flux/objective.h"

#include <torch/types.h>

#include "titan/models/flux/sampler.h"

namespace titan {
namespace {

using models::FluxObjective;
using models::FluxObjectiveOptions;

/// A batch of the given samples, each a function of its index.
Batch batch_of(const std::vector<int64_t>& samples, at::ScalarType dtype = at::kFloat) {
  const auto rows = [&](at::IntArrayRef tail, double scale) {
    std::vector<at::Tensor> out;
    for (const int64_t id : samples) {
      const int64_t numel = c10::multiply_integers(tail);
      out.push_back(
          torch::sin(torch::arange(numel) * 0.37 + static_cast<double>(id) * scale).view(tail));
    }
    return at::stack(out).to(dtype);
  };
  Batch batch;
  batch.sample = torch::tensor(samples, at::kLong);
  batch.epoch = at::zeros_like(batch.sample);
  batch.fields.set("mean", rows({4, 2, 4}, 1.0));
  batch.fields.set("logvar", rows({4, 2, 4}, 2.0) - 3);
  batch.fields.set("t5_encodings", rows({3, 5}, 3.0));
  batch.fields.set("clip_encodings", rows({6}, 4.0));
  return batch;
}

FluxObjectiveOptions with_dropout(double share) {
  return {.dropout = share, .empty = {at::full({3, 5}, 7.0F), at::full({6}, 9.0F)}};
}

void require_row_equal(const TrainingExample& a, int64_t i, const TrainingExample& b, int64_t j) {
  REQUIRE(torch::equal(a.x_t[i], b.x_t[j]));
  REQUIRE(torch::equal(a.t[i], b.t[j]));
  REQUIRE(torch::equal(a.target[i], b.target[j]));
  for (const char* name : {"txt", "y"})
    REQUIRE(torch::equal(a.condition.get(name)[i], b.condition.get(name)[j]));
}

TEST_CASE("a sample's example depends on the sample alone, not on its batch", "[flux]") {
  const FluxObjective objective(with_dropout(0.5), 3);
  const TrainingExample all = objective.prepare(batch_of({5, 9, 700000, 2}));
  const TrainingExample two = objective.prepare(batch_of({2, 9}));
  require_row_equal(all, 3, two, 0);
  require_row_equal(all, 1, two, 1);
  REQUIRE_FALSE(torch::equal(
      all.x_t, FluxObjective(with_dropout(0.5), 4).prepare(batch_of({5, 9, 700000, 2})).x_t));
}

TEST_CASE("prompts are dropped with both encodings together, in the share asked for", "[flux]") {
  std::vector<int64_t> ids(4000);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i);
  const Batch batch = batch_of(ids);
  const TrainingExample example = FluxObjective(with_dropout(0.1), 1).prepare(batch);
  const at::Tensor t5 = example.condition.get("txt").eq(7).flatten(1).all(1);
  const at::Tensor clip = example.condition.get("y").eq(9).flatten(1).all(1);
  REQUIRE(torch::equal(t5, clip));
  // Three standard deviations of a binomial around 400.
  REQUIRE(std::abs(t5.sum().item<int64_t>() - 400) < 57);
  const at::Tensor kept = t5.logical_not();
  REQUIRE(torch::equal(example.condition.get("txt").index({kept}),
                       batch.fields.get("t5_encodings").index({kept})));
  const TrainingExample none = FluxObjective({}, 1).prepare(batch);
  REQUIRE(torch::equal(none.condition.get("txt"), batch.fields.get("t5_encodings")));
}

TEST_CASE("latents are drawn from the posterior, shifted and scaled", "[flux]") {
  std::vector<int64_t> ids(20000);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i);
  Batch batch = batch_of(ids);
  batch.fields.set("mean", torch::full({20000, 4, 2, 4}, 2.0));
  batch.fields.set("logvar", torch::full({20000, 4, 2, 4}, std::log(0.25)));
  const TrainingExample example =
      FluxObjective({.scaling = {.shift = 0.5, .scale = 3}}, 1).prepare(batch);
  // x_t = x + t (noise - x), target = noise - x.
  const at::Tensor x = example.x_t - example.t.view({-1, 1, 1, 1}) * example.target;
  REQUIRE(std::abs(x.mean().item<double>() - 4.5) < 0.01);  // 3 (2 - 0.5); standard error 0.002
  REQUIRE(std::abs(x.std().item<double>() - 1.5) < 0.01);   // 3 x 0.5
  const at::Tensor noise = example.target + x;
  REQUIRE(std::abs(noise.mean().item<double>()) < 0.005);
  REQUIRE(std::abs(noise.std().item<double>() - 1) < 0.005);
  REQUIRE((example.t.min().item<double>() > 0 && example.t.max().item<double>() < 1));
}

TEST_CASE("stored bfloat16 is computed with in float32", "[flux]") {
  const FluxObjective objective({}, 3);
  const Batch stored = batch_of({1, 2}, at::kBFloat16);
  Batch widened = stored;
  for (auto& field : widened.fields) field.second = field.second.to(at::kFloat);
  const TrainingExample a = objective.prepare(stored), b = objective.prepare(widened);
  REQUIRE(a.x_t.scalar_type() == at::kFloat);
  REQUIRE(torch::equal(a.x_t, b.x_t));
  REQUIRE(torch::equal(a.target, b.target));
}

TEST_CASE("evaluation asks the same whatever epoch and training seed", "[flux]") {
  Batch batch = batch_of({4, 8, 15});
  const at::Tensor timestep = torch::tensor({0, 3, 7}, at::kLong);
  const TrainingExample first =
      FluxObjective(with_dropout(1), 1).prepare_evaluation(batch, timestep, 5);
  batch.epoch = batch.epoch + 9;
  const TrainingExample again =
      FluxObjective(with_dropout(1), 2).prepare_evaluation(batch, timestep, 5);
  REQUIRE(torch::equal(first.x_t, again.x_t));
  REQUIRE(torch::equal(first.t, torch::tensor({0.0F, 0.375F, 0.875F})));
  REQUIRE(torch::equal(first.condition.get("txt"), batch.fields.get("t5_encodings")));
  REQUIRE_FALSE(first.weight.defined());
  REQUIRE_FALSE(
      torch::equal(first.x_t, FluxObjective({}, 1).prepare_evaluation(batch, timestep, 6).x_t));
  // Not the noise that training sees of the same sample.
  REQUIRE_FALSE(torch::equal(first.target + 0, FluxObjective({}, 5).prepare(batch).target));
}

TEST_CASE("a model with a guidance embedding is told objective.guidance", "[flux]") {
  const TrainingExample example = FluxObjective({.guidance = 2.5}, 1).prepare(batch_of({1, 2, 3}));
  REQUIRE(torch::equal(example.condition.get("guidance"), torch::full({3}, 2.5F)));
  REQUIRE_FALSE(FluxObjective({}, 1).prepare(batch_of({1})).condition.contains("guidance"));
}

TEST_CASE("options come from the config; what is missing is named", "[flux]") {
  JobConfig config;
  config.model.name = "flux";
  config.training.class_dropout_prob = 0;
  config.objective.timestep_sampler = "logit_normal";
  config.objective.shift = 3;
  config.encoder.autoencoder_shift = 0;
  DataShape shape{.image = {16, 4, 4}};
  const auto message = [&] {
    return titan::message_of(models::flux_objective_options(config, {}, shape, nullptr).status());
  };
  REQUIRE(message().find("have no \"t5_encodings\"") != std::string::npos);
  shape.fields = {{"t5_encodings", {3, 5}}, {"clip_encodings", {6}}};
  const auto options = models::flux_objective_options(config, {}, shape, nullptr);
  REQUIRE(options.ok());
  CHECK(options->timesteps.density == objectives::TimestepDensity::kLogitNormal);
  CHECK(options->timesteps.shift == 3);
  CHECK(options->scaling.shift == 0);  // a value, not a blank
  CHECK_FALSE(options->guidance.has_value());
  CHECK(
      models::flux_objective_options(config, {.guidance_embed = true}, shape, nullptr)->guidance ==
      3.5);

  config.training.class_dropout_prob = 0.1;
  config.training.dataset = "cc12m_preprocessed";
  REQUIRE(message().find("encoder.empty_encodings_path must name") != std::string::npos);
  REQUIRE(message().find("scripts/download.sh empty-encodings") != std::string::npos);
}

TEST_CASE("guidance runs the model twice, or tells it the scale", "[flux]") {
  const at::Tensor noise = torch::ones({1, 4, 2, 4});
  Conditioning prompt, empty;
  prompt.set("y", torch::full({1}, 2.0));
  empty.set("y", torch::full({1}, 1.0));
  std::vector<double> told;
  const DenoiseFunction denoise = [&](const at::Tensor& x, const at::Tensor&,
                                      const Conditioning& condition) {
    const at::Tensor guidance = condition.get("guidance");
    told.push_back(guidance.defined() ? guidance.item<double>() : 0);
    return at::ones_like(x) * condition.get("y");
  };
  const models::FluxSampler schnell({}, false), dev({.shift = true}, true);
  const at::Tensor a = schnell.sample(denoise, noise, prompt, empty, {.steps = 2, .guidance = 3});
  REQUIRE(told == std::vector<double>{0, 0, 0, 0});
  REQUIRE(at::allclose(a, noise - (1 + 3 * (2 - 1))));  // v = 4 over a unit of time
  told.clear();
  const at::Tensor b = dev.sample(denoise, noise, prompt, {}, {.steps = 2, .guidance = 3});
  REQUIRE(told == std::vector<double>{3, 3});
  REQUIRE(at::allclose(b, noise - 2));
}

TEST_CASE("the schedule shifts for dev unless told otherwise", "[flux]") {
  SamplingSection section;
  CHECK(models::flux_schedule(section, true).shift);
  CHECK_FALSE(models::flux_schedule(section, false).shift);
  section.schedule_shift = "on";
  CHECK(models::flux_schedule(section, false).shift);
  section.schedule_shift = "off";
  CHECK_FALSE(models::flux_schedule(section, true).shift);
  section.base_shift = 0;
  section.max_shift = 0;
  section.schedule_shift = "on";  // e^0: no shift at all
  const auto timesteps = models::flux_timesteps(4, 300, models::flux_schedule(section, true));
  for (int i = 0; i <= 4; ++i)
    CHECK(std::abs(timesteps[static_cast<std::size_t>(i)] - (1 - i / 4.0)) < 1e-12);
}

}  // namespace
}  // namespace titan
