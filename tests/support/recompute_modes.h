// recompute_modes.h: what tests of recompute share: ways to recompute, and one training pass.
// Include tests/support/catch.h first.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>
#include <torch/utils.h>

#include "titan/protocols/block_runner.h"

#include "tests/support/runner.h"

namespace titan::testing {

/// Plans for `num_blocks` blocks by name, from the settings a user would write.
inline std::vector<std::pair<std::string, RecomputePlan>> recompute_modes(std::size_t num_blocks) {
  const auto plan = [&](const ActivationCheckpointSection& settings) {
    StatusOr<RecomputePlan> made = recompute_plan(settings, num_blocks);
    TITAN_CHECK(made.ok(), message_of(made.status()));
    return *std::move(made);
  };
  const auto selective = [&](const std::string& option, double fraction = 1.0) {
    return plan({.mode = "selective", .selective_ac_option = option, .fraction = fraction});
  };
  const auto per_op = [&](std::vector<std::string> ops, int64_t matmul_every) {
    return plan({.mode = "selective",
                 .selective_ac_option = "op",
                 .keep_ops = std::move(ops),
                 .keep_matmul_every = matmul_every});
  };
  std::vector<std::pair<std::string, RecomputePlan>> modes = {
      {"none", {}},
      {"full", plan({.mode = "full"})},
      {"full, half of the blocks", plan({.mode = "full", .fraction = 0.5})},
      {"every second block", selective("2")},
      {"per op", selective("op")},
      {"per op, half of the blocks", selective("op", 0.5)},
      {"attention kept", per_op({"attention"}, 0)},
      {"every matmul kept", per_op({}, 1)},
      {"every third matmul kept", per_op({}, 3)},
      {"attention and every matmul kept", per_op({"attention"}, 1)}};
  RecomputePlan nothing_kept = plan({.mode = "full"});
  for (BlockRecompute& block : nothing_kept) block.keep.outputs = false;
  modes.emplace_back("full, outputs computed again", nothing_kept);
  return modes;
}

/// What a training step sees.
struct TrainingInputs {
  at::Tensor x, t;
  Conditioning condition;
};

/// The loss ("loss") and every gradient by its parameter's name.
inline std::map<std::string, at::Tensor> training_pass(const std::shared_ptr<Model>& model,
                                                       const TrainingInputs& inputs,
                                                       const RecomputePlan& plan) {
  KeepGradients keep(*model);
  keep.by_name["loss"] = make_runner(model, &keep, plan)
                             ->forward_backward(inputs.x, inputs.t, inputs.condition,
                                                [](const at::Tensor& prediction) {
                                                  return prediction.square().mean();
                                                });
  return keep.by_name;
}

/// No parameter zero, so that every path carries signal.
inline void randomize_parameters(Model& model, double deviation) {
  const torch::NoGradGuard no_grad;
  for (const at::Tensor& parameter : model.parameters()) parameter.normal_(0.0, deviation);
}

}  // namespace titan::testing
