#include <thread>

#include "tests/support/catch.h"

#include "titan/ops/kept.h"

#include "titan/metrics/flops.h"
#include "titan/models/layers/linear.h"
#include "titan/ops/attention.h"
#include "titan/ops/attention_backend.h"

#include "titan/base/check.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

using ops::KeepPolicy;
using ops::KeptResults;
using ops::KeptScope;
using ops::TensorList;

using Call = std::function<at::Tensor(const TensorList&)>;

const KeepPolicy kEverything{.tags = {ops::kAttentionTag}, .matmul_every = 1, .outputs = false};
const KeepPolicy kNothing{.tags = {}, .matmul_every = 0, .outputs = false};

/// The value and the gradients of the inputs, and what the pass that recorded them multiplied.
struct Outcome {
  TensorList tensors;
  int64_t flops = 0;
};
Outcome differentiate(const Call& call, const TensorList& inputs) {
  const metrics::FlopCounter counter;
  const at::Tensor value = call(inputs);
  Outcome outcome;
  const metrics::CountedFlops flops = counter.counted();
  outcome.flops = flops.model + flops.recompute;
  const at::Tensor weight = at::linspace(-1, 1, value.numel(), value.options()).view(value.sizes());
  TensorList wanted;
  for (const at::Tensor& input : inputs)
    if (input.defined() && input.requires_grad()) wanted.push_back(input);
  outcome.tensors = torch::autograd::grad({value}, wanted, {weight});
  outcome.tensors.push_back(value.detach());
  return outcome;
}
/// The same in a recomputed block.
Outcome differentiate_twice(const Call& call, const TensorList& inputs, const KeepPolicy& policy) {
  KeptResults block(policy);
  {
    const torch::NoGradGuard no_grad;
    const KeptScope scope(block, /*again=*/false);
    call(inputs);
  }
  block.end_first_pass({});
  const KeptScope scope(block, /*again=*/true);
  return differentiate(call, inputs);
}

void require_kept_bit_by_bit(const Call& call, const TensorList& inputs) {
  const Outcome plain = differentiate(call, inputs);
  const Outcome taken = differentiate_twice(call, inputs, kEverything);
  const Outcome again = differentiate_twice(call, inputs, kNothing);
  REQUIRE(plain.flops > 0);
  REQUIRE(taken.flops == 0);
  REQUIRE(again.flops == plain.flops);
  for (std::size_t i = 0; i < plain.tensors.size(); ++i) {
    INFO("tensor " << i);
    REQUIRE(at::equal(taken.tensors[i], plain.tensors[i]));
    REQUIRE(at::equal(again.tensors[i], plain.tensors[i]));
  }
}

at::Tensor leaf(at::IntArrayRef shape, const at::TensorOptions& options) {
  return at::randn(shape, at::kFloat).to(options).requires_grad_(true);
}

TEST_CASE("a kept linear layer has the gradients of a computed one, bit by bit", "[ops]") {
  at::manual_seed(1);
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    for (const auto with_bias : {models::Linear::Bias::kNo, models::Linear::Bias::kYes}) {
      models::Linear linear(24, 40, with_bias, at::TensorOptions(dtype));
      const torch::NoGradGuard no_grad;
      for (at::Tensor& parameter : linear.parameters()) parameter.normal_(0.0, 1.0);
      const at::AutoGradMode with_grad(true);
      const Call call = [&](const TensorList& in) { return linear.forward(in[0]); };
      for (const std::vector<int64_t>& shape :
           {std::vector<int64_t>{6, 24}, {1, 24}, {3, 7, 24}, {1, 1, 24}, {2, 3, 4, 24}}) {
        INFO(dtype << " " << at::IntArrayRef(shape));
        require_kept_bit_by_bit(call, {leaf(shape, dtype), linear.weight, linear.bias});
      }
      // Not contiguous: the tokens of a longer sequence.
      const at::Tensor part = leaf({3, 9, 24}, dtype);
      require_kept_bit_by_bit(
          [&](const TensorList& in) { return linear.forward(in[0].narrow(1, 2, 5)); },
          {part, linear.weight, linear.bias});
      linear.weight.set_requires_grad(false);
      require_kept_bit_by_bit(call, {leaf({3, 7, 24}, dtype), linear.weight, linear.bias});
    }
  }
}

void check_attention(const at::TensorOptions& options, int64_t head_dim) {
  const Call call = [](const TensorList& in) { return ops::attention(in[0], in[1], in[2]); };
  const at::Tensor q = leaf({2, 19, 4, head_dim}, options);
  for (const int64_t kv_heads : {4, 2}) {
    INFO(options.dtype() << " key heads " << kv_heads);
    require_kept_bit_by_bit(call, {q, leaf({2, 11, kv_heads, head_dim}, options),
                                   leaf({2, 11, kv_heads, head_dim}, options)});
  }
}

TEST_CASE("kept attention has the gradients of computed attention, bit by bit", "[ops]") {
  at::manual_seed(2);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble})
    check_attention(dtype, 12);
}

TEST_CASE("plain attention runs again in a recompute and gives the same bits", "[ops]") {
  at::manual_seed(3);
  ops::set_attention_backend(ops::AttentionBackend::kMath);
  const Call call = [](const TensorList& in) { return ops::attention(in[0], in[1], in[2]); };
  const TensorList inputs = {leaf({2, 19, 4, 12}, at::kFloat), leaf({2, 11, 2, 12}, at::kFloat),
                             leaf({2, 11, 2, 12}, at::kFloat)};
  const Outcome plain = differentiate(call, inputs);
  const Outcome again = differentiate_twice(call, inputs, kEverything);
  ops::set_attention_backend(ops::AttentionBackend::kAuto);
  REQUIRE(again.flops == plain.flops);
  for (std::size_t i = 0; i < plain.tensors.size(); ++i)
    REQUIRE(at::equal(again.tensors[i], plain.tensors[i]));
}

TEST_CASE("the kernel of a large problem is measured inside a recomputed block", "[ops]") {
  at::manual_seed(4);
  ops::set_attention_backend(ops::AttentionBackend::kAuto);
  const Call call = [](const TensorList& in) { return ops::attention(in[0], in[1], in[2]); };
  const TensorList inputs = {leaf({1, 1500, 2, 64}, at::kFloat), leaf({1, 1500, 2, 64}, at::kFloat),
                             leaf({1, 1500, 2, 64}, at::kFloat)};
  // First met in the first pass, where nothing is recorded; the block's offers must not see it.
  const Outcome taken = differentiate_twice(call, inputs, kEverything);
  const Outcome plain = differentiate(call, inputs);
  REQUIRE(taken.flops == 0);
  for (std::size_t i = 0; i < plain.tensors.size(); ++i)
    REQUIRE(at::equal(taken.tensors[i], plain.tensors[i]));
}

TEST_CASE("kept attention on a device has the gradients of computed attention", "[cuda]") {
  if (!testing::has_cuda()) TITAN_SKIP("no CUDA device, or no CUDA library");
  at::manual_seed(2);
  for (const auto backend : {ops::AttentionBackend::kFlash, ops::AttentionBackend::kCudnn}) {
    ops::set_attention_backend(backend);
    check_attention(at::TensorOptions().device(at::kCUDA).dtype(at::kBFloat16), 64);
  }
  ops::set_attention_backend(ops::AttentionBackend::kAuto);
}

/// An operation that counts how often it is computed.
struct Doubling {
  static TensorList derivative(const ops::KeptCall& call) { return {call.grad * 2}; }
  at::Tensor operator()(const at::Tensor& x, const char* tag = ops::kMatmulTag) {
    const ops::Keepable op{.tag = tag, .num_results = 1, .derivative = derivative};
    return ops::kept(
        op, [&] { return ++computed, x * 2; }, x);
  }
  int computed = 0;
};

TEST_CASE("the first, n+1-th, 2n+1-th matrix product is kept", "[ops]") {
  for (const auto& [every, kept] :
       {std::pair<int64_t, int>{0, 0}, {1, 7}, {2, 4}, {3, 3}, {9, 1}}) {
    KeptResults block({.tags = {}, .matmul_every = every, .outputs = false});
    Doubling doubled;
    const auto run = [&](bool again) {
      const KeptScope scope(block, again);
      for (int i = 0; i < 7; ++i) doubled(at::ones({1}));
    };
    run(false);
    block.end_first_pass({});
    REQUIRE(doubled.computed == 7);
    run(true);
    REQUIRE(doubled.computed == 14 - kept);
  }
}

TEST_CASE("what a block hands on as it is need not be computed again", "[ops]") {
  for (const bool outputs : {true, false}) {
    KeptResults block({.tags = {}, .matmul_every = 0, .outputs = outputs});
    Doubling doubled;
    const at::Tensor x = at::ones({3});
    at::Tensor last;
    {
      const KeptScope scope(block, /*again=*/false);
      last = doubled(doubled(x));
    }
    block.end_first_pass({x, at::Tensor(), last});
    const KeptScope scope(block, /*again=*/true);
    const at::Tensor again = doubled(doubled(x));
    REQUIRE(again.is_alias_of(last) == outputs);
    REQUIRE(doubled.computed == (outputs ? 3 : 4));
  }
}

TEST_CASE("a recompute that differs from the first pass is refused", "[ops]") {
  const auto block_after = [](const std::function<void(Doubling&)>& first) {
    auto block = std::make_unique<KeptResults>(kEverything);
    Doubling doubled;
    const KeptScope scope(*block, /*again=*/false);
    first(doubled);
    block->end_first_pass({});
    return block;
  };
  const at::Tensor x = at::ones({2});
  const auto one = [&](Doubling& doubled) { doubled(x); };
  Doubling doubled;
  {
    const auto block = block_after(one);
    const KeptScope scope(*block, /*again=*/true);
    REQUIRE_THROWS_WITH(doubled(x, ops::kAttentionTag),
                        Catch::Contains("operation 0 is attention, was matmul"));
  }
  {
    const auto block = block_after(one);
    REQUIRE_THROWS_WITH(block->end_recompute(), Catch::Contains("fewer operations") &&
                                                    Catch::Contains("(0) than at first (1)"));
    const KeptScope scope(*block, /*again=*/true);
    doubled(x);
    REQUIRE_NOTHROW(block->end_recompute());
    REQUIRE_THROWS_WITH(doubled(x), Catch::Contains("operation 1 is matmul, was none"));
    REQUIRE_THROWS_WITH(KeptScope(*block, true), Catch::Contains("inside another"));
  }
  {
    const auto block = block_after([&](Doubling& d) { d(x).add_(1); });
    const KeptScope scope(*block, /*again=*/true);
    REQUIRE_THROWS_WITH(doubled(x), Catch::Contains("changed in place"));
  }
}

TEST_CASE("outside a recomputed block nothing is kept and nothing is known", "[ops]") {
  Doubling doubled;
  doubled(at::ones({1}));
  REQUIRE(doubled.computed == 1);
  REQUIRE(ops::kept_results() == nullptr);
  REQUIRE_FALSE(ops::recomputing());
  KeptResults block(kEverything);
  {
    const KeptScope scope(block, /*again=*/true);
    REQUIRE(ops::recomputing());
    std::thread([] { REQUIRE(ops::kept_results() == nullptr); }).join();
  }
  REQUIRE_FALSE(ops::recomputing());
}

}  // namespace
}  // namespace titan
