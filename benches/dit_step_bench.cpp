// One training step of a DiT on the CPU: forward, loss, backward, clipping, AdamW, exactly as the
// trainer does them. Waits for lines on standard input, makes a step for each and answers
// "<seconds> <loss>", so that scripts/bench_cpu.py can take turns between this program and PyTorch
// in one run.
//
//   dit_step_bench FLAVOR BATCH SIZE CHANNELS THREADS [reference]
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "titan/memory/cpu_allocator.h"
#include "titan/models/dit/flops.h"
#include "titan/models/dit/model.h"
#include "titan/ops/backend.h"
#include "titan/optim/adamw.h"
#include "titan/optim/grad_norm.h"
#include "titan/parallel/data_parallel.h"
#include "titan/protocols/block_runner.h"

namespace {

using namespace titan;

struct Arguments {
  std::string flavor;
  int64_t batch, size, channels;
  int threads;
  bool reference;
};

/// A model with its optimizer and one fixed batch.
class Step {
 public:
  explicit Step(const Arguments& args) : model_(make_model(args)), condition_(make_labels(args)) {
    at::manual_seed(0);
    const std::vector<int64_t> shape = {args.batch, args.channels, args.size, args.size};
    x_t_ = at::randn(shape);
    target_ = at::randn(shape);
    t_ = at::rand({args.batch});
    parameters_ = std::make_unique<parallel::FlatParameters>(split_into_units(*model_), at::kFloat);
    gradients_ = std::make_unique<parallel::DataParallel>(*parameters_, alone_);
    runner_ = make_plain_runner(model_, gradients_.get());
    optimizer_ = std::make_unique<optim::AdamW>(parameters_->units(), optim::AdamWOptions{});
  }

  double run() {
    state_.begin(++count_, /*new_lr=*/1e-4);
    gradients_->begin_step(/*accumulation=*/1);
    gradients_->begin_micro_batch(0);
    const at::Tensor loss = runner_->forward_backward(
        x_t_, t_, condition_,
        [&](const at::Tensor& prediction) { return at::mse_loss(prediction, target_); });
    gradients_->finish();
    const torch::NoGradGuard no_grad;
    const at::Tensor norm = optim::global_grad_norm(parameters_->units());
    optimizer_->step(state_, optim::clip_coefficient(norm, /*max_norm=*/1.0));
    parameters_->refresh_compute();
    return loss.item<double>();
  }

  const models::Dit& model() const { return *model_; }

 private:
  static std::shared_ptr<models::Dit> make_model(const Arguments& args) {
    models::DitConfig config = models::dit_flavor(args.flavor).value();
    config.in_channels = args.channels;
    config.num_classes = 1000;
    auto model = std::make_shared<models::Dit>(config);
    model->initialize(/*seed=*/1);
    return model;
  }
  static Conditioning make_labels(const Arguments& args) {
    Conditioning condition;
    condition.set("label", at::arange(args.batch, at::kLong));
    return condition;
  }

  std::shared_ptr<models::Dit> model_;
  Conditioning condition_;
  at::Tensor x_t_, target_, t_;
  parallel::Communicator alone_;
  std::unique_ptr<parallel::FlatParameters> parameters_;
  std::unique_ptr<parallel::DataParallel> gradients_;
  std::unique_ptr<BlockRunner> runner_;
  std::unique_ptr<optim::AdamW> optimizer_;
  optim::StepState state_{at::kCPU};
  int64_t count_ = 0;
};

int run(const Arguments& args) {
  at::set_num_threads(args.threads);
  if (args.reference) ops::set_backend(ops::Backend::kReference);
  Step step(args);
  const models::DitFlops flops = models::dit_flops(step.model().config(), args.size, args.size);
  std::cout << "ready " << 3 * flops.forward() * args.batch << std::endl;
  for (std::string line; std::getline(std::cin, line) && line == "step";) {
    const auto start = std::chrono::steady_clock::now();
    const double loss = step.run();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::cout << seconds.count() << " " << loss << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::cerr << "usage: dit_step_bench FLAVOR BATCH SIZE CHANNELS THREADS [reference]\n";
    return 2;
  }
  titan::memory::install_cpu_allocator();
  return run({argv[1], std::atoll(argv[2]), std::atoll(argv[3]), std::atoll(argv[4]),
              std::atoi(argv[5]), argc > 6 && std::string(argv[6]) == "reference"});
}
