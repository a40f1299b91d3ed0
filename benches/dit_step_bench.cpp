// One training step of a DiT on the CPU, so that scripts/bench_cpu.py can take turns between this
// program and PyTorch in one run.
//
//   dit_step_bench FLAVOR BATCH SIZE CHANNELS THREADS [reference]
#include <cstdlib>

#include "titan/memory/cpu_allocator.h"
#include "titan/models/dit/flops.h"
#include "titan/models/dit/model.h"

#include "benches/training_step.h"

namespace {

using namespace titan;

int run(const std::string& flavor, int64_t batch, int64_t size, int64_t channels) {
  models::DitConfig config = models::dit_flavor(flavor).value();
  config.in_channels = channels;
  config.num_classes = 1000;
  const auto model = std::make_shared<models::Dit>(config);
  model->initialize(/*seed=*/1);
  at::manual_seed(0);
  const std::vector<int64_t> shape = {batch, channels, size, size};
  benches::StepInputs inputs{
      .x_t = at::randn(shape), .t = at::rand({batch}), .target = at::randn(shape), .condition = {}};
  inputs.condition.set("label", at::arange(batch, at::kLong));
  benches::TrainingStep step(model, /*lr=*/1e-4);
  return benches::serve_steps(step, inputs,
                              3 * batch * models::dit_flops(config, size, size).forward());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::cerr << "usage: dit_step_bench FLAVOR BATCH SIZE CHANNELS THREADS [reference]\n";
    return 2;
  }
  titan::memory::install_cpu_allocator();
  at::set_num_threads(std::atoi(argv[5]));
  if (argc > 6 && std::string(argv[6]) == "reference")
    titan::ops::set_backend(titan::ops::Backend::kReference);
  return run(argv[1], std::atoll(argv[2]), std::atoll(argv[3]), std::atoll(argv[4]));
}
