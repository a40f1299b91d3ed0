// Trains a small Flux on made-up latents and prints the loss of every step and, every 10 steps, of
// a fixed evaluation batch: what scripts/float8_overlay.py lays over each other.
//
//   float8_overlay RECIPE GRAD DTYPE SEED STEPS LR THREADS
//
// RECIPE none, tensorwise or rowwise; GRAD e5m2 or e4m3; DTYPE float32 or bfloat16: of computation,
// master weights are float32. SEED chooses initial weights, batches, noise and times; the data and
// the evaluation batch are the same for all.
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include <ATen/CPUGeneratorImpl.h>

#include "titan/base/check.h"
#include "titan/models/converters/float8.h"
#include "titan/models/flux/model.h"

#include "benches/training_step.h"

namespace {

using namespace titan;

constexpr int64_t kBatch = 8, kSide = 16, kText = 32, kContext = 128, kPooled = 64, kSamples = 64;
constexpr int64_t kEvaluateEvery = 10;

struct Data {
  at::Tensor latents, txt, y;
};

/// Latents of 4 x 4 even squares: something to learn in a few hundred steps.
Data make_data() {
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(1);
  const at::Tensor coarse = at::randn({kSamples, 16, kSide / 4, kSide / 4}, random);
  return {.latents = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3),
          .txt = at::randn({kSamples, kText, kContext}, random),
          .y = at::randn({kSamples, kPooled}, random)};
}

benches::StepInputs draw(const Data& data, at::Generator random, int64_t size) {
  const at::Tensor chosen = at::randint(0, kSamples, {size}, random, at::kLong);
  const at::Tensor noise = at::randn({size, 16, kSide, kSide}, random);
  const at::Tensor clean = data.latents.index_select(0, chosen), t = at::rand({size}, random);
  const at::Tensor mix = t.view({size, 1, 1, 1});
  benches::StepInputs inputs{
      .x_t = (1 - mix) * clean + mix * noise, .t = t, .target = noise - clean, .condition = {}};
  inputs.condition.set("txt", data.txt.index_select(0, chosen));
  inputs.condition.set("y", data.y.index_select(0, chosen));
  return inputs;
}

int run(char** argv) {
  const std::string recipe = argv[1], dtype = argv[3];
  const auto seed = static_cast<std::uint64_t>(std::atoll(argv[4]));
  JobConfig job;
  if (recipe != "none") job.model.converters = {"float8"};
  job.float8.recipe_name = recipe;
  job.float8.grad_dtype = argv[2];
  job.float8.emulate = true;
  models::FluxConfig config;
  config.hidden_size = 256;
  config.num_heads = 2;
  config.depth = 2;
  config.depth_single_blocks = 2;
  config.context_in_dim = kContext;
  config.vec_in_dim = kPooled;
  Status status = models::validate(config);
  const auto model = std::make_shared<models::Flux>(config);
  if (status.ok()) status = models::apply_converters(*model, job, /*say=*/true);
  TITAN_CHECK(status.ok(), message_of(status));
  models::keep_float8_weights(*model, true);
  model->initialize(seed);
  parallel::EngineOptions options;
  options.parameters.compute_dtype = dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
  benches::TrainingStep step(model, std::atof(argv[6]), {}, options);
  const Data data = make_data();
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(1000 + seed);
  const benches::StepInputs fixed = draw(data, at::make_generator<at::CPUGeneratorImpl>(2), 64);
  for (int64_t n = 1; n <= std::atoll(argv[5]); ++n) {
    std::printf("train %lld %.9g\n", static_cast<long long>(n),
                step.run(draw(data, random, kBatch)));
    if (n % kEvaluateEvery == 0)
      std::printf("eval %lld %.9g\n", static_cast<long long>(n), step.evaluate(fixed));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 8) {
    std::cerr << "usage: float8_overlay RECIPE GRAD DTYPE SEED STEPS LR THREADS\n";
    return 2;
  }
  at::set_num_threads(std::atoi(argv[7]));
  try {
    return run(argv);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
