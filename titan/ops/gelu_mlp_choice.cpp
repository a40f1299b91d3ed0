#include "titan/ops/gelu_mlp_choice.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <mutex>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/autograd.h>

#include "titan/base/log.h"
#include "titan/ops/backend.h"
#include "titan/ops/device_clock.h"
#include "titan/ops/dispatch.h"
#include "titan/ops/gelu_mlp.h"

namespace titan::ops::detail {
namespace {

constexpr int kRounds = 5;
// bfloat16 has 8 bits: both ways round the pre-activation, the hidden values and the gradients once
// or twice each, in another order of sums.
constexpr double kTolerance = 0.03;
constexpr int64_t kAlignment = 8;  // elements of bfloat16 in the 16 bytes that cublasLt wants

using Key = std::array<int64_t, 6>;
struct Choices {
  std::mutex mutex;
  std::map<Key, bool> by_shape;
};
Choices& choices() {
  static Choices choices;
  return choices;
}

/// The result, then the gradients of what requires them.
std::vector<at::Tensor> once(const MlpWay& way, const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : inputs)
    if (input.requires_grad()) leaves.push_back(input);
  std::vector<at::Tensor> all = {way(inputs)};
  if (!leaves.empty()) {
    // Not all ones: a mistake in the order of rows would not show.
    const at::Tensor ramp = at::linspace(-1, 1, all[0].numel(), all[0].options().dtype(at::kFloat))
                                .to(all[0].scalar_type())
                                .view(all[0].sizes());
    for (at::Tensor& grad : torch::autograd::grad({all[0]}, leaves, {ramp}))
      all.push_back(std::move(grad));
  }
  return all;
}

/// The largest difference as a share of the largest element.
double difference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor wide = b.detach().to(at::kFloat);
  const double most = wide.abs().max().item<double>();  // host sync
  const double apart = (a.detach().to(at::kFloat) - wide).abs().max().item<double>();
  return most > 0 ? apart / most : apart;
}

bool choose(const std::vector<at::Tensor>& inputs) {
  const auto call = [](auto* function) {
    return [function](const std::vector<at::Tensor>& in) {
      return function(in[0], in[1], in[2], in[3], in[4]);
    };
  };
  const WaysCompared compared =
      compare_ways(call(&gelu_mlp_in_epilogues), call(&gelu_mlp_apart), inputs, kTolerance);
  const bool chosen = compared.refusal.empty() && compared.candidate_s < compared.plain_s;
  char times[96];
  std::snprintf(times, sizeof times, "%.3f ms, apart %.3f ms", 1e3 * compared.candidate_s,
                1e3 * compared.plain_s);
  TITAN_LOG(INFO) << "[gelu] "
                  << (chosen ? "in the products' epilogues" : "apart from the products") << " for "
                  << inputs[0].numel() / inputs[0].size(-1) << " x " << inputs[0].size(-1) << " -> "
                  << inputs[1].size(0) << " -> " << inputs[3].size(0) << " ("
                  << (compared.refusal.empty() ? times : "epilogues: " + compared.refusal) << ")";
  return chosen;
}

}  // namespace

WaysCompared compare_ways(const MlpWay& candidate, const MlpWay& plain,
                          const std::vector<at::Tensor>& given, double tolerance) {
  const at::DisableRecordFunctionGuard unobserved;
  std::vector<at::Tensor> inputs;
  bool training = false;
  for (const at::Tensor& tensor : given) {
    inputs.push_back(tensor.detach());
    inputs.back().set_requires_grad(at::GradMode::is_enabled() && tensor.requires_grad());
    training = training || inputs.back().requires_grad();
  }
  const at::AutoGradMode grad_mode(training);
  WaysCompared result;
  try {
    const std::vector<at::Tensor> wanted = once(plain, inputs), found = once(candidate, inputs);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const double apart = difference(found[i], wanted[i]);
      if (apart <= tolerance) continue;  // written so that NaN is refused
      result.refusal = str_cat(i == 0 ? "the result" : "a gradient", " is ", 100 * apart,
                               " % of the largest element away");
      return result;
    }
  } catch (const std::exception& error) {
    const std::string text = error.what();
    result.refusal = text.substr(0, text.find('\n'));
    return result;
  }
  result.candidate_s = result.plain_s = INFINITY;
  for (int round = 0; round < kRounds; ++round) {
    result.candidate_s = std::min(result.candidate_s,
                                  seconds_on_device(inputs[0], [&] { once(candidate, inputs); }));
    result.plain_s =
        std::min(result.plain_s, seconds_on_device(inputs[0], [&] { once(plain, inputs); }));
  }
  return result;
}

bool epilogues_possible(const at::Tensor& x, const at::Tensor& weight1, const at::Tensor& bias1,
                        const at::Tensor& weight2, const at::Tensor& bias2) {
  if (!x.is_cuda() || x.numel() == 0 || !use_fused(x, "titan::linear_gelu")) return false;
  if (at::globalContext().deterministicAlgorithms()) return false;  // the bias' sums
  for (const at::Tensor* tensor : {&x, &weight1, &bias1, &weight2, &bias2}) {
    if (!tensor->defined() || tensor->scalar_type() != at::kBFloat16 ||
        tensor->size(-1) % kAlignment != 0)
      return false;
  }
  return weight1.is_contiguous() && weight2.is_contiguous();
}

bool epilogues_chosen(const at::Tensor& x, const at::Tensor& weight1, const at::Tensor& bias1,
                      const at::Tensor& weight2, const at::Tensor& bias2) {
  const bool training = detail::needs_gradient({x, weight1, bias1, weight2, bias2});
  const Key key{x.get_device(),  x.numel() / x.size(-1), x.size(-1),
                weight1.size(0), weight2.size(0),        training ? 1 : 0};
  const std::lock_guard lock(choices().mutex);
  const auto found = choices().by_shape.find(key);
  if (found != choices().by_shape.end()) return found->second;
  return choices().by_shape.emplace(key, choose({x, weight1, bias1, weight2, bias2})).first->second;
}

}  // namespace titan::ops::detail
