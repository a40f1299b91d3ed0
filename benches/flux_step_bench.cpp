// One training step of a small Flux on the CPU, so that scripts/bench_cpu.py can take turns between
// this program and PyTorch in one run.
//
//   flux_step_bench HIDDEN HEADS DOUBLE SINGLE BATCH SIZE TEXT THREADS [reference]
//   [recompute=OPTION]
//
// SIZE is the side of the 16-channel latents, TEXT the number of text tokens; heads are 128 wide.
// OPTION: full, or selective's option (a number, op), as in activation_checkpoint.
#include <cstdlib>

#include "titan/memory/cpu_allocator.h"
#include "titan/models/flux/flops.h"
#include "titan/models/flux/model.h"

#include "benches/training_step.h"

namespace {

using namespace titan;

struct Arguments {
  int64_t hidden, heads, depth, singles, batch, size, text;
  ActivationCheckpointSection recompute = {};
};

models::FluxConfig config_of(const Arguments& args) {
  models::FluxConfig config;
  config.hidden_size = args.hidden;
  config.num_heads = args.heads;
  config.depth = args.depth;
  config.depth_single_blocks = args.singles;
  return config;
}

int run(const Arguments& args) {
  const models::FluxConfig config = config_of(args);
  if (const Status status = models::validate(config); !status.ok()) {
    std::cerr << message_of(status) << "\n";
    return 2;
  }
  StatusOr<RecomputePlan> plan =
      recompute_plan(args.recompute, static_cast<std::size_t>(args.depth + args.singles));
  if (!plan.ok()) {
    std::cerr << message_of(plan.status()) << "\n";
    return 2;
  }
  const auto model = std::make_shared<models::Flux>(config);
  model->initialize(/*seed=*/1);
  at::manual_seed(0);
  const std::vector<int64_t> shape = {args.batch, config.latent_channels(), args.size, args.size};
  benches::StepInputs inputs{.x_t = at::randn(shape),
                             .t = at::rand({args.batch}),
                             .target = at::randn(shape),
                             .condition = {}};
  inputs.condition.set("txt", at::randn({args.batch, args.text, config.context_in_dim}));
  inputs.condition.set("y", at::randn({args.batch, config.vec_in_dim}));
  benches::TrainingStep step(model, /*lr=*/1e-4, *std::move(plan));
  const int64_t tokens = args.size / 2 * (args.size / 2);
  return benches::serve_steps(
      step, inputs, 3 * args.batch * models::flux_flops(config, tokens, args.text).forward());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 9) {
    std::cerr << "usage: flux_step_bench HIDDEN HEADS DOUBLE SINGLE BATCH SIZE TEXT THREADS "
                 "[reference] [recompute=OPTION]\n";
    return 2;
  }
  titan::memory::install_cpu_allocator();
  at::set_num_threads(std::atoi(argv[8]));
  Arguments args{std::atoll(argv[1]), std::atoll(argv[2]), std::atoll(argv[3]), std::atoll(argv[4]),
                 std::atoll(argv[5]), std::atoll(argv[6]), std::atoll(argv[7])};
  const std::string recompute = "recompute=";
  for (const std::string& option : std::vector<std::string>(argv + 9, argv + argc)) {
    if (option == "reference") titan::ops::set_backend(titan::ops::Backend::kReference);
    if (option.rfind(recompute, 0) != 0) continue;
    args.recompute.selective_ac_option = option.substr(recompute.size());
    args.recompute.mode = args.recompute.selective_ac_option == "full" ? "full" : "selective";
    if (args.recompute.mode == "full") args.recompute.selective_ac_option = "1";
  }
  return run(args);
}
