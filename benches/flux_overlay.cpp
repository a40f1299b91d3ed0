// Trains a small Flux on batches from a file and prints the loss of every step: titan's half of
// scripts/flux_overlay.py.
//
//   flux_overlay FILE HIDDEN HEADS DOUBLE SINGLE LR THREADS
//
// FILE (safetensors): "param.<published name>", and for all steps "x_t", "target" [steps, B, 16, H,
// W], "t" [steps, B], "txt" [steps, B, L, context], "y" [steps, B, pooled], all float32.
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "titan/base/check.h"
#include "titan/data/tensor_file.h"
#include "titan/models/flux/model.h"

#include "benches/training_step.h"

namespace {

using namespace titan;

at::Tensor read(const TensorFile& file, const std::string& name) {
  const StatusOr<at::Tensor> tensor = file.view(name);
  TITAN_CHECK(tensor.ok(), message_of(tensor.status()));
  return tensor->clone();
}

void load(models::Flux& model, const TensorFile& file) {
  const torch::NoGradGuard no_grad;
  for (const auto& entry : model.named_parameters())
    entry.value().copy_(read(file, "param." + entry.key()));
}

int run(char** argv) {
  const StatusOr<TensorFile> file = TensorFile::open(argv[1]);
  TITAN_CHECK(file.ok(), message_of(file.status()));
  const at::Tensor x_t = read(*file, "x_t"), target = read(*file, "target"), t = read(*file, "t"),
                   txt = read(*file, "txt"), y = read(*file, "y");
  models::FluxConfig config;
  config.hidden_size = std::atoll(argv[2]);
  config.num_heads = std::atoll(argv[3]);
  config.depth = std::atoll(argv[4]);
  config.depth_single_blocks = std::atoll(argv[5]);
  config.context_in_dim = txt.size(3);
  config.vec_in_dim = y.size(2);
  const Status status = models::validate(config);
  TITAN_CHECK(status.ok(), message_of(status));
  const auto model = std::make_shared<models::Flux>(config);
  load(*model, *file);
  benches::TrainingStep step(model, std::atof(argv[6]));
  for (int64_t n = 0; n < x_t.size(0); ++n) {
    benches::StepInputs inputs{.x_t = x_t[n], .t = t[n], .target = target[n], .condition = {}};
    inputs.condition.set("txt", txt[n]);
    inputs.condition.set("y", y[n]);
    std::printf("%.9g\n", step.run(inputs));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 8) {
    std::cerr << "usage: flux_overlay FILE HIDDEN HEADS DOUBLE SINGLE LR THREADS\n";
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
