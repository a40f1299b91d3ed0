#include "titan/ops/attention_timing.h"

#include <algorithm>
#include <cmath>

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones_like.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/autograd.h>

#include "titan/ops/device_clock.h"
#include "titan/ops/kept.h"

namespace titan::ops {
namespace {

constexpr int kRounds = 5;

/// One sample, and a head for each thread: the rest is more of the same.
at::Tensor part_of(const at::Tensor& x, bool same_heads) {
  if (!x.is_cpu()) return x.detach();
  const at::Tensor one = x.detach().narrow(0, 0, 1);
  const int64_t heads = std::min<int64_t>(x.size(2), at::get_num_threads());
  return same_heads ? one.narrow(2, 0, heads) : one;
}

}  // namespace

std::vector<TimedKernel> time_kernels(const std::vector<AttentionKernel>& kernels,
                                      const at::Tensor& q_in, const at::Tensor& k_in,
                                      const at::Tensor& v_in, bool training,
                                      const RunAttention& run) {
  const KeptPause outside_any_block;
  const at::DisableRecordFunctionGuard unobserved;
  const at::AutoGradMode grad_mode(training);
  const bool same_heads = q_in.size(2) == k_in.size(2);
  at::Tensor q = part_of(q_in, same_heads), k = part_of(k_in, same_heads),
             v = part_of(v_in, same_heads);
  for (at::Tensor* leaf : {&q, &k, &v}) leaf->set_requires_grad(training);
  const auto once = [&](AttentionKernel kernel) {
    const at::Tensor out = run(kernel, q, k, v);
    if (training) torch::autograd::grad({out}, {q, k, v}, {at::ones_like(out)});
  };

  std::vector<TimedKernel> timed;
  for (const AttentionKernel kernel : kernels) {
    timed.push_back({kernel, INFINITY, {}});
    try {
      once(kernel);  // loads code, fills caches, and shows whether it can run at all
    } catch (const std::exception& error) {
      const std::string text = error.what();
      timed.back().seconds = NAN;
      timed.back().refusal = text.substr(0, text.find('\n'));
    }
  }
  for (int round = 0; round < kRounds; ++round) {
    for (TimedKernel& one : timed) {
      if (!one.refusal.empty()) continue;
      one.seconds = std::min(one.seconds, detail::seconds_on_device(q, [&] { once(one.kernel); }));
    }
  }
  return timed;
}

}  // namespace titan::ops
