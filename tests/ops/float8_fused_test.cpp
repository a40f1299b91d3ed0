// Operations that round their result to 8 bits, against the operation followed by float8_input: the
// same bits in roundings, results and gradients.
#include "tests/support/catch.h"

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <torch/csrc/autograd/autograd.h>

#include "titan/base/check.h"
#include "titan/ops/float8_fused.h"
#include "titan/ops/float8_linear.h"
#include "titan/ops/gelu.h"
#include "titan/ops/swiglu.h"

#include "tests/ops/op_testing.h"

namespace titan {
namespace {

using ops::Float8Input;
using ops::Float8Rounding;
using testing::Tensors;

/// What layers read, and what else the operation gives (the residual stream).
struct Made {
  Float8Input input;
  Tensors others;
};
/// From the leaves: apart rounds the operation's result, fused is the operation that rounds.
struct Operation {
  std::string name;
  std::function<Tensors()> leaves;
  std::function<Made(const Tensors&, const Float8Rounding&)> apart, fused;
};

constexpr int64_t kBatch = 2, kTokens = 21, kDim = 48;  // 16 does not divide the 42 rows

Operation norm_operation(bool rms, bool residual, bool affine) {
  Operation operation;
  operation.name = std::string(rms ? "rms" : "layer") + (residual ? ", residual" : "") +
                   (affine ? ", parameters" : "");
  // x, branch, gate, weight, bias, scale, shift
  operation.leaves = [=] {
    Tensors leaves = {at::randn({kBatch, kTokens, kDim}) + 0.5};
    leaves.push_back(residual ? at::randn({kBatch, kTokens, kDim}) : at::Tensor());
    leaves.push_back(residual && affine ? at::randn({kBatch, kDim}) : at::Tensor());
    leaves.push_back(affine ? at::randn({kDim}) : at::Tensor());
    leaves.push_back(affine && !rms ? at::randn({kDim}) : at::Tensor());
    leaves.push_back(affine ? at::randn({kBatch, 1, kDim}) : at::Tensor());
    leaves.push_back(affine ? at::randn({kBatch, kDim}) : at::Tensor());
    return leaves;
  };
  const auto norm_of = [rms](const Tensors& in) {
    return ops::Norm{.rms = rms, .eps = 1e-5, .weight = in[3], .bias = in[4]};
  };
  operation.apart = [=](const Tensors& in, const Float8Rounding& rounding) -> Made {
    const ops::Modulation modulation{.scale = in[5], .shift = in[6]};
    if (!residual)
      return {ops::float8_input(ops::modulate_norm(in[0], norm_of(in), modulation), rounding), {}};
    const auto [h, y] = ops::residual_modulate_norm(in[0], in[1], in[2], norm_of(in), modulation);
    return {ops::float8_input(y, rounding), {h}};
  };
  operation.fused = [=](const Tensors& in, const Float8Rounding& rounding) -> Made {
    const ops::Modulation modulation{.scale = in[5], .shift = in[6]};
    if (!residual) return {ops::float8_modulate_norm(in[0], norm_of(in), modulation, rounding), {}};
    const auto [h, y] =
        ops::float8_residual_modulate_norm(in[0], in[1], in[2], norm_of(in), modulation, rounding);
    return {y, {h}};
  };
  return operation;
}

/// The rope table of a parallel block of 2 heads of 16 over `device`.
ops::StreamAttention attention_options(const at::Tensor& like) {
  const at::Tensor angle = at::arange(kTokens * 8, at::kFloat).view({kTokens, 8}) * 0.01;
  return {.heads = 2, .rope = at::stack({angle.cos(), angle.sin()}, 2).to(like.device())};
}

std::vector<Operation> operations() {
  std::vector<Operation> all;
  for (const bool rms : {false, true})
    for (const bool residual : {false, true})
      for (const bool affine : {false, true}) all.push_back(norm_operation(rms, residual, affine));
  all.push_back({.name = "gelu",
                 .leaves =
                     [] {
                       return Tensors{at::randn({kBatch, kTokens, kDim}) * 2};
                     },
                 .apart = [](const Tensors& in, const Float8Rounding& rounding) -> Made {
                   return {ops::float8_input(ops::gelu(in[0]), rounding), {}};
                 },
                 .fused = [](const Tensors& in, const Float8Rounding& rounding) -> Made {
                   return {ops::float8_gelu(in[0], rounding), {}};
                 }});
  all.push_back({.name = "swiglu",
                 .leaves =
                     [] {
                       return Tensors{at::randn({kBatch, kTokens, kDim}) * 2,
                                      at::randn({kBatch, kTokens, kDim})};
                     },
                 .apart = [](const Tensors& in, const Float8Rounding& rounding) -> Made {
                   return {ops::float8_input(ops::swiglu(in[0], in[1]), rounding), {}};
                 },
                 .fused = [](const Tensors& in, const Float8Rounding& rounding) -> Made {
                   return {ops::float8_swiglu(in[0], in[1], rounding), {}};
                 }});
  // 2 heads of 16, 16 columns beside them.
  all.push_back({.name = "parallel attention",
                 .leaves =
                     [] {
                       return Tensors{at::randn({kBatch, kTokens, 3 * 32 + 16}), at::randn({16}),
                                      at::randn({16})};
                     },
                 .apart = [](const Tensors& in, const Float8Rounding& rounding) -> Made {
                   return {ops::float8_input(ops::parallel_attention(in[0], in[1], in[2],
                                                                     attention_options(in[0])),
                                             rounding),
                           {}};
                 },
                 .fused = [](const Tensors& in, const Float8Rounding& rounding) -> Made {
                   return {ops::float8_parallel_attention(in[0], in[1], in[2],
                                                          attention_options(in[0]), rounding),
                           {}};
                 }});
  return all;
}

/// One NaN stands for the tensor.
void require_placeholder(const Float8Input& input) {
  REQUIRE(input.values.isnan().all().item<bool>());
  for (const int64_t stride : input.values.strides()) REQUIRE(stride == 0);
  REQUIRE(input.values.storage().nbytes() == static_cast<std::size_t>(input.values.itemsize()));
}

/// Two layers read the input; their results, the operation's others, then every leaf's gradient.
Tensors run_readers(const std::function<Made(const Tensors&, const Float8Rounding&)>& operation,
                    const Tensors& given, const ops::Float8Options& options) {
  Tensors leaves;
  for (const at::Tensor& leaf : given)
    leaves.push_back(leaf.defined() ? leaf.detach().clone().requires_grad_() : leaf);
  const Made made = operation(leaves, {.rowwise = options.rowwise});
  require_placeholder(made.input);
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(3);
  Tensors weights, outputs = made.others;
  for (const int64_t out : {32, 64}) {
    weights.push_back((at::randn({out, made.input.values.size(-1)}, random) / 8)
                          .to(leaves[0].options())
                          .requires_grad_());
    outputs.push_back(ops::float8_linear(made.input, weights.back(), {}, options));
  }
  at::Tensor total;
  for (const at::Tensor& output : outputs) {
    const at::Tensor weight = at::randn(output.sizes(), random).to(output.options());
    total = total.defined() ? total + (output * weight).sum() : (output * weight).sum();
  }
  total.backward();
  Tensors results;
  for (const at::Tensor& output : outputs) results.push_back(output.detach());
  for (const at::Tensor& one : {made.input.copies.by_row, made.input.copies.by_column})
    results.push_back(one.to(at::kFloat));
  for (const at::Tensor& one : {made.input.copies.row_inverse, made.input.copies.column_inverse})
    results.push_back(one);
  for (const at::Tensor& weight : weights) results.push_back(weight.grad());
  for (const at::Tensor& leaf : leaves)
    if (leaf.defined()) results.push_back(leaf.grad());
  return results;
}

void require_same_bits(const Tensors& found, const Tensors& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    REQUIRE(found[i].isfinite().all().item<bool>());
    REQUIRE(found[i].scalar_type() == expected[i].scalar_type());
    REQUIRE(at::equal(found[i], expected[i]));
  }
}

void check_all(at::Device device) {
  for (const Operation& operation : operations()) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      for (const bool rowwise : {false, true}) {
        CAPTURE(operation.name, c10::toString(dtype), rowwise);
        Tensors leaves = operation.leaves();
        for (at::Tensor& leaf : leaves)
          if (leaf.defined()) leaf = leaf.to(device, dtype);
        const ops::Float8Options options{.rowwise = rowwise, .emulate = true};
        require_same_bits(run_readers(operation.fused, leaves, options),
                          run_readers(operation.apart, leaves, options));
      }
    }
  }
}

TEST_CASE("an operation that rounds its result gives the bits of the two apart", "[ops]") {
  at::manual_seed(11);
  check_all(at::kCPU);
}

TEST_CASE("with plain ATen the operation and the rounding run one after the other", "[ops]") {
  at::manual_seed(12);
  const testing::BackendScope reference(ops::Backend::kReference);
  check_all(at::kCPU);
}

TEST_CASE("an input is rounded by column only where gradients of weights need it", "[ops]") {
  for (const Operation& operation : operations()) {
    CAPTURE(operation.name);
    const Tensors leaves = operation.leaves();
    REQUIRE(operation.fused(leaves, {}).input.copies.by_column.defined());
    const Made frozen = operation.fused(leaves, {.by_column = false});
    REQUIRE_FALSE(frozen.input.copies.by_column.defined());
    REQUIRE(frozen.input.copies.by_row.defined());
    const torch::NoGradGuard no_grad;
    REQUIRE_FALSE(operation.fused(leaves, {}).input.copies.by_column.defined());
  }
}

TEST_CASE("an input without gradients of its own gives its readers theirs", "[ops]") {
  at::manual_seed(13);
  const at::Tensor x = at::randn({5, 32}), w = at::randn({16, 32}).requires_grad_();
  const Float8Input input = ops::float8_gelu(x, {});
  REQUIRE_FALSE(input.values.requires_grad());
  ops::float8_linear(input, w, {}, {.emulate = true}).sum().backward();
  const at::Tensor found = w.grad().clone();
  w.mutable_grad() = at::Tensor();
  ops::float8_linear(ops::gelu(x), w, {}, {.emulate = true}).sum().backward();
  REQUIRE(at::equal(w.grad(), found));
}

TEST_CASE("readers share one transposed copy, and backward keeps no other", "[ops]") {
  const at::Tensor x = at::randn({64, 32}).requires_grad_();
  const auto layer = [](const Float8Input& input) {
    return ops::float8_linear(input, at::randn({16, 32}).requires_grad_(), {}, {.emulate = true});
  };
  using Weak = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;
  Float8Input input = ops::float8_gelu(x, {});
  const Weak by_row(input.copies.by_row.getIntrusivePtr());
  const Weak by_column(input.copies.by_column.getIntrusivePtr());
  at::Tensor one = layer(input), other = layer(input);
  input = {};
  REQUIRE(by_row.expired());
  one = at::Tensor();
  REQUIRE_FALSE(by_column.expired());
  other.sum().backward();
  REQUIRE(x.grad().isfinite().all().item<bool>());
  other = at::Tensor();
  REQUIRE(by_column.expired());
}

TEST_CASE("rounded inputs say what does not fit", "[ops]") {
  const at::Tensor x = at::randn({5, 32}), w = at::randn({16, 32}).requires_grad_();
  REQUIRE_THROWS_WITH(ops::float8_linear(ops::float8_gelu(x, {.rowwise = true}), w, {},
                                         {.rowwise = false, .emulate = true}),
                      Catch::Contains("one recipe"));
  REQUIRE_THROWS_WITH(
      ops::float8_linear(ops::float8_gelu(x, {.by_column = false}), w, {}, {.emulate = true}),
      Catch::Contains("transposed copy"));
  REQUIRE_THROWS_WITH(
      ops::float8_linear(ops::float8_gelu(x, {}), at::randn({16, 31}), {}, {.emulate = true}),
      Catch::Contains("must fit"));
  REQUIRE_THROWS_WITH(ops::float8_swiglu(x, at::randn({5, 31}), {}),
                      Catch::Contains("one shape and dtype"));
  const at::Tensor row = at::randn({2, 3, 32});
  REQUIRE_THROWS_WITH(
      ops::float8_residual_modulate_norm(row, at::randn({2, 3, 16}), {}, {}, {}, {}),
      Catch::Contains("branch must have x's shape"));
  REQUIRE_THROWS_WITH(ops::float8_modulate_norm(row, {}, {.scale = at::randn({3, 32})}, {}),
                      Catch::Contains("scale must be [B, D]"));
  const Float8Input none = ops::float8_gelu(at::empty({0, 32}), {});
  REQUIRE(ops::float8_linear(none, w, {}, {.emulate = true}).sizes() == at::IntArrayRef({0, 16}));
}

TEST_CASE("fused operations run on shapes alone", "[ops]") {
  for (const Operation& operation : operations()) {
    CAPTURE(operation.name);
    Tensors leaves = operation.leaves();
    for (at::Tensor& leaf : leaves)
      if (leaf.defined()) leaf = leaf.to(at::kMeta).requires_grad_();
    const Made made = operation.fused(leaves, {.rowwise = true});
    const Made here = operation.fused(operation.leaves(), {.rowwise = true});
    REQUIRE(made.input.values.sizes() == here.input.values.sizes());
    REQUIRE(made.input.copies.by_row.sizes() == here.input.copies.by_row.sizes());
    REQUIRE(made.input.copies.by_column.strides() == here.input.copies.by_column.strides());
    REQUIRE(made.input.copies.column_inverse.sizes() == here.input.copies.column_inverse.sizes());
    const at::Tensor w = at::empty({16, made.input.values.size(-1)}, at::kMeta).requires_grad_();
    const at::Tensor y = ops::float8_linear(made.input, w, {}, {.rowwise = true});
    y.backward(at::empty_like(y));
    REQUIRE(leaves[0].grad().sizes() == leaves[0].sizes());
  }
}

TEST_CASE("fused operations on a GPU give the bits of the two apart", "[cuda]") {
  if (!testing::has_cuda()) TITAN_SKIP("no CUDA device, or libtitan_cuda.so is not loaded");
  at::manual_seed(14);
  // LibTorch's attention adds up its gradients in any order otherwise.
  struct Deterministic {
    Deterministic() { at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true); }
    ~Deterministic() { at::globalContext().setDeterministicAlgorithms(false, false); }
  } const deterministic;
  check_all(at::kCUDA);
}

}  // namespace
}  // namespace titan
