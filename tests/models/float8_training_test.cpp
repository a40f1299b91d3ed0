// The short form of docs/results/float8.md: a model that trains in emulated 8-bit products follows
// the one that does not, within what another seed changes.
#include "tests/support/catch.h"

#include <algorithm>
#include <cmath>

#include <ATen/CPUGeneratorImpl.h>

#include "titan/models/converters/float8.h"
#include "titan/optim/adamw.h"
#include "titan/optim/grad_norm.h"
#include "titan/parallel/engine.h"

#include "tests/models/small_models.h"

namespace titan {
namespace {

constexpr int64_t kSteps = 40, kBatch = 8;

struct Example {
  at::Tensor x, t, target;
  Conditioning condition;
};

/// Noised samples of eight fixed latents.
Example draw(const models::FluxConfig& config, at::Generator random) {
  at::Generator fixed = at::make_generator<at::CPUGeneratorImpl>(1);
  const at::Tensor clean = at::randn({kBatch, config.latent_channels(), 2, 2}, fixed)
                               .repeat_interleave(2, 2)
                               .repeat_interleave(2, 3);
  Example example;
  example.condition.set("txt", at::randn({kBatch, 6, config.context_in_dim}, fixed));
  example.condition.set("y", at::randn({kBatch, config.vec_in_dim}, fixed));
  const at::Tensor noise = at::randn(clean.sizes(), random);
  example.t = at::rand({kBatch}, random);
  const at::Tensor mix = example.t.view({kBatch, 1, 1, 1});
  example.x = (1 - mix) * clean + mix * noise;
  example.target = noise - clean;
  return example;
}

struct Run {
  double first = 0;  ///< loss of the first step
  double last = 0;   ///< loss of a fixed batch after the last
};

Run train(const std::string& recipe, std::uint64_t seed) {
  const models::FluxConfig config = testing::small_flux(1, 1);
  const auto model = std::make_shared<models::Flux>(config);
  model->initialize(seed);
  if (!recipe.empty()) {
    Float8Section settings;
    settings.recipe_name = recipe;
    settings.emulate = true;
    models::convert_to_float8(*model, settings);
    models::keep_float8_weights(*model, true);
  }
  parallel::ParallelEngine engine(split_into_units(*model), {});
  const auto runner = make_runner(model, &engine);
  optim::AdamW optimizer(engine.parameters().units(), optim::AdamWOptions{});
  optim::StepState state(at::kCPU);
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(100 + seed);
  Run run;
  for (int64_t step = 1; step <= kSteps; ++step) {
    const Example in = draw(config, random);
    state.begin(step, /*lr=*/5e-3);
    engine.begin_step(1);
    engine.begin_micro_batch(0);
    const at::Tensor loss = runner->forward_backward(
        in.x, in.t, in.condition,
        [&](const at::Tensor& prediction) { return at::mse_loss(prediction, in.target); });
    engine.finish();
    if (step == 1) run.first = loss.item<double>();
    const at::NoGradGuard no_grad;
    const at::Tensor norm = optim::global_grad_norm(engine.parameters().units());
    optimizer.step(state, optim::clip_coefficient(norm, 1.0));
    engine.parameters().weights_changed();
  }
  const at::NoGradGuard no_grad;
  const Example in = draw(config, at::make_generator<at::CPUGeneratorImpl>(7));
  run.last = at::mse_loss(runner->forward(in.x, in.t, in.condition), in.target).item<double>();
  return run;
}

TEST_CASE("training in 8 bits follows training in float32 within the noise of a seed", "[models]") {
  const Run reference = train("", 1);
  double noise = 0;
  for (const std::uint64_t seed : {2, 3})
    noise = std::max(noise, std::abs(train("", seed).last - reference.last));
  CAPTURE(reference.first, reference.last, noise);
  REQUIRE(reference.last < 0.8 * reference.first);  // it learns, so the comparison says something
  for (const std::string recipe : {"tensorwise", "rowwise"}) {
    const Run eight = train(recipe, 1);
    CAPTURE(recipe, eight.last);
    REQUIRE(eight.last != reference.last);
    REQUIRE(std::abs(eight.last - reference.last) < noise);
  }
}

}  // namespace
}  // namespace titan
